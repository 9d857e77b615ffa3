internal import CKernels

/// A rectangle of a quantized array that is decoded while a product packs it.
struct CodeSource {
  let codes: CodeView
  /// Rows of the array; where `index` is given, as many rows that it picks.
  let rows: Range<Int>
  let index: UnsafePointer<Int32>?
  let columns: Range<Int>
  /// Whether codes are multiplied by their scales.
  let isScaled: Bool

  /// Writes the numbers to rows of `rowLength` elements.
  func decode(to element: hadal_storage, into target: UnsafeMutableRawPointer, rowLength: Int) {
    guard isScaled else { return decode(rows, nil, element, target, rowLength) }
    let scales = codes.scales
    guard codes.tiling != .rows else {
      let first = index == nil ? rows.lowerBound * codes.scaleColumns : 0
      return decode(rows, scales + first, element, target, rowLength)
    }
    precondition(index == nil, "rows that share scales are not picked one by one")
    var first = rows.lowerBound
    while first < rows.upperBound {
      let tile = codes.tile(ofRow: first)
      let end = min(rows.upperBound, tile.rows.upperBound)
      let (width, bytes) = (rowLength, element == hadal_float32 ? 4 : 2)
      decode(
        first..<end, scales + tile.index * codes.scaleColumns, element,
        target + (first - rows.lowerBound) * width * bytes, rowLength)
      first = end
    }
  }

  /// Rows that share the scales' row, or have one each.
  private func decode(
    _ rows: Range<Int>, _ scales: UnsafePointer<Float>?, _ element: hadal_storage,
    _ target: UnsafeMutableRawPointer, _ rowLength: Int
  ) {
    let width = codes.width
    let source = codes.address + (index == nil ? rows.lowerBound * width : 0) + columns.lowerBound
    let decode = element == hadal_float32 ? codes.decodeToFloat32 : codes.decodeToBFloat16
    decode(
      source, width, index, rows.count, columns.count, scales, codes.tiling == .rows ? codes.scaleColumns : 0,
      columns.lowerBound, codes.tileColumns, target, rowLength)
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
    let width = codes.width
    if isScaled { scaleRows(into: addresses) }
    return kernel(
      isTransposed, codes.address + rows.lowerBound * width + columns.lowerBound, width,
      isScaled ? UnsafePointer(addresses) : nil, columns.lowerBound, codes.tileColumns, k, count, panels)
  }

  /// Where the scales of each row begin.
  private func scaleRows(into target: UnsafeMutablePointer<UnsafePointer<Float>?>) {
    let scales = codes.scales
    var first = rows.lowerBound
    while first < rows.upperBound {
      let tile = codes.tile(ofRow: first)
      let end = min(rows.upperBound, tile.rows.upperBound)
      (target + (first - rows.lowerBound))
        .update(repeating: scales + tile.index * codes.scaleColumns, count: end - first)
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
    let (scales, width) = (codes.scales, codes.scaleColumns)
    let column = columns.lowerBound / codes.tileColumns
    if let index {
      for i in 0..<rows.count { target[i] = scales[codes.tile(ofRow: Int(index[i])).index * width + column] }
      return
    }
    var first = rows.lowerBound
    while first < rows.upperBound {
      let tile = codes.tile(ofRow: first)
      let end = min(rows.upperBound, tile.rows.upperBound)
      (target + (first - rows.lowerBound))
        .update(repeating: scales[tile.index * width + column], count: end - first)
      first = end
    }
  }

  /// The factor of each column; all rows are of one tile.
  private func scalesAcross(into target: UnsafeMutablePointer<Float>) {
    // An expert without rows has sums of nothing.
    guard !rows.isEmpty else { return target.update(repeating: 0, count: columns.count) }
    let scales = codes.scales + codes.tile(ofRow: rows.lowerBound).index * codes.scaleColumns
    guard codes.tileColumns > 1 else {
      return target.update(from: scales + columns.lowerBound, count: columns.count)
    }
    var first = columns.lowerBound
    while first < columns.upperBound {
      let tile = first / codes.tileColumns
      let end = min(columns.upperBound, (tile + 1) * codes.tileColumns)
      (target + (first - columns.lowerBound)).update(repeating: scales[tile], count: end - first)
      first = end
    }
  }
}
