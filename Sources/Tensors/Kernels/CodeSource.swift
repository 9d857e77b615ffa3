internal import CKernels

/// A rectangle of a quantized array that is decoded while a product packs it.
struct CodeSource {
  let codes: QuantizedTensor
  /// Rows of the array; where `index` is given, as many rows that it picks.
  let rows: Range<Int>
  let index: UnsafePointer<Int32>?
  let columns: Range<Int>
  /// Whether codes are multiplied by their scales.
  let isScaled: Bool

  /// Writes the numbers to rows of `rowLength` elements.
  func decode(to element: hadal_storage, into target: UnsafeMutableRawPointer, rowLength: Int) {
    guard isScaled else { return decode(rows, nil, element, target, rowLength) }
    let scales = UnsafePointer(codes.scales.floats.baseAddress!)
    guard codes.tiling != .rows else {
      let first = index == nil ? rows.lowerBound * codes.scales.columns : 0
      return decode(rows, scales + first, element, target, rowLength)
    }
    precondition(index == nil, "rows that share scales are not picked one by one")
    var first = rows.lowerBound
    while first < rows.upperBound {
      let tile = codes.tile(ofRow: first)
      let end = min(rows.upperBound, tile.rows.upperBound)
      let (width, bytes) = (rowLength, element == hadal_float32 ? 4 : 2)
      decode(
        first..<end, scales + tile.index * codes.scales.columns, element,
        target + (first - rows.lowerBound) * width * bytes, rowLength)
      first = end
    }
  }

  /// Rows that share the scales' row, or have one each.
  private func decode(
    _ rows: Range<Int>, _ scales: UnsafePointer<Float>?, _ element: hadal_storage,
    _ target: UnsafeMutableRawPointer, _ rowLength: Int
  ) {
    let width = codes.codes.columns
    let source = codes.codePointer + (index == nil ? rows.lowerBound * width : 0) + columns.lowerBound
    codes.device.typed(element == hadal_float32 ? .float32 : .bfloat16).decode_e4m3(
      source, width, index, rows.count, columns.count, scales,
      codes.tiling == .rows ? codes.scales.columns : 0, columns.lowerBound, codes.tileColumns, target,
      rowLength)
  }

  /// As `hadal_product_kernels.codes` is declared.
  typealias Packing =
    @convention(c) (
      Bool, UnsafePointer<UInt8>?, Int, UnsafePointer<UnsafePointer<Float>?>?, Int, Int, Int, Int,
      UnsafeMutableRawPointer?
    ) -> Bool

  /// Packs the rectangle, which is B of a product or its transpose.
  /// - Parameter addresses: memory for one for each row.
  /// - Returns: whether the kernel could.
  func pack(
    isTransposed: Bool, k: Int, columns count: Int, _ kernel: Packing, into panels: UnsafeMutableRawPointer,
    addresses: UnsafeMutablePointer<UnsafePointer<Float>?>
  ) -> Bool {
    precondition(index == nil, "rows of B that are codes are not picked one by one")
    precondition(!isTransposed || codes.tileColumns == QuantizedTensor.tile, "\(codes.tiling) across")
    let width = codes.codes.columns
    if isScaled { scaleRows(into: addresses) }
    return kernel(
      isTransposed, codes.codePointer + rows.lowerBound * width + columns.lowerBound, width,
      isScaled ? UnsafePointer(addresses) : nil, columns.lowerBound, codes.tileColumns, k, count, panels)
  }

  /// Where the scales of each row begin.
  private func scaleRows(into target: UnsafeMutablePointer<UnsafePointer<Float>?>) {
    let scales = UnsafePointer(codes.scales.floats.baseAddress!)
    var first = rows.lowerBound
    while first < rows.upperBound {
      let tile = codes.tile(ofRow: first)
      let end = min(rows.upperBound, tile.rows.upperBound)
      (target + (first - rows.lowerBound))
        .update(repeating: scales + tile.index * codes.scales.columns, count: end - first)
      first = end
    }
  }

  /// The factors of a product's rows, for a run of k in one tile.
  func rowScales(ofProduct layout: Layout, into target: UnsafeMutablePointer<Float>) {
    layout == .tn ? scalesAcross(into: target) : scalesDown(into: target)
  }

  /// The factors of a product's columns, for a run of k in one tile.
  func columnScales(ofProduct layout: Layout, into target: UnsafeMutablePointer<Float>) {
    layout == .nt ? scalesDown(into: target) : scalesAcross(into: target)
  }

  /// The factor of each row; all columns are of one tile.
  private func scalesDown(into target: UnsafeMutablePointer<Float>) {
    let (scales, width) = (codes.scales.floats.baseAddress!, codes.scales.columns)
    let column = columns.lowerBound / codes.tileColumns
    for i in 0..<rows.count {
      let row = index.map { Int($0[i]) } ?? rows.lowerBound + i
      target[i] = scales[codes.tile(ofRow: row).index * width + column]
    }
  }

  /// The factor of each column; all rows are of one tile.
  private func scalesAcross(into target: UnsafeMutablePointer<Float>) {
    // An expert without rows has sums of nothing.
    guard !rows.isEmpty else { return target.update(repeating: 0, count: columns.count) }
    let first = codes.tile(ofRow: rows.lowerBound).index * codes.scales.columns
    let scales = codes.scales.floats.baseAddress! + first
    for (i, column) in columns.enumerated() { target[i] = scales[column / codes.tileColumns] }
  }
}

extension QuantizedTensor {
  /// Columns that share a scale.
  fileprivate var tileColumns: Int { tiling == .columns ? 1 : Self.tile }

  /// The tile that a row lies in: its row of scales, and its rows of codes.
  fileprivate func tile(ofRow row: Int) -> (index: Int, rows: Range<Int>) {
    switch tiling {
    case .rows: return (row, row..<row + 1)
    case .blocks:
      let (matrix, place) = row.quotientAndRemainder(dividingBy: period)
      let tile = place / Self.tile
      let first = matrix * period + tile * Self.tile
      return (
        matrix * Self.tiles(period) + tile, first..<min(first + Self.tile, (matrix + 1) * period)
      )
    case .columns:
      let segment = segment(ofRow: row)
      let (begin, tile) = (offsets[segment], (row - offsets[segment]) / Self.tile)
      let first = begin + tile * Self.tile
      return (tilesBefore[segment] + tile, first..<min(first + Self.tile, offsets[segment + 1]))
    }
  }

  /// The one that is not empty and has the row, by bisection: products ask for every run of each expert.
  private func segment(ofRow row: Int) -> Int {
    precondition(0..<codes.rows ~= row, "row \(row) of \(codes.rows)")
    // offsets[low] <= row < offsets[high]
    var (low, high) = (0, offsets.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if offsets[middle] <= row { low = middle } else { high = middle }
    }
    return low
  }
}
