internal import CKernels

/// Operands as the kernels read them: packed, or where they are.
extension ProductLoop {
  /// The most panels of rows for which columns of B are read in place.
  private static let inPlacePanels = 3

  /// Floats in which a thread holds decoded codes that the packing kernels transpose or pair.
  var decodedFloats: Int {
    if case .numbers = a, case .numbers = b { return 0 }
    return Blocking.longestRun * max(Int(kernels.columns), rowsTogether) * kernels.elementBytes / 4
  }

  /// Packs a run of a block of columns, unless they are read in place.
  /// - Parameter decoded: ``decodedFloats``.
  func pack(
    _ product: Product, _ blocking: Blocking, _ block: Int, _ run: Int, into panels: UnsafeMutableRawPointer,
    decoded: UnsafeMutableRawPointer
  ) {
    let (k, columns) = (blocking.k(run, of: product), blocking.columns(block, of: product))
    switch b {
    case .numbers(let b):
      guard !readsInPlace(product, columns) else { return }
      packNumbers(b, product, columns, k, into: panels)
    case .codes:
      if packCodesAtOnce(product, columns, k, into: panels, decoded: decoded) { return }
      let width = Int(kernels.columns)
      let panelBytes = kernels.padded(k.count) * width * kernels.elementBytes
      for (i, first) in stride(from: columns.lowerBound, to: columns.upperBound, by: width).enumerated() {
        let part = first..<min(first + width, columns.upperBound)
        packCodes(product, part, k, into: panels + i * panelBytes, decoded: decoded)
      }
    }
  }

  /// Packs panels of columns from numbers, wherever they are.
  func packNumbers(
    _ b: Tensor, _ product: Product, _ columns: Range<Int>, _ k: Range<Int>,
    into panels: UnsafeMutableRawPointer
  ) {
    kernels.packing(b.dtype).b(
      layout == .nt, source(product, columns, k), product.ldb, product.bRows.map { $0 + k.lowerBound },
      k.count, columns.count, panels)
  }

  /// Packs panels of columns from codes with the kernel for that, where the level has one that can.
  private func packCodesAtOnce(
    _ product: Product, _ columns: Range<Int>, _ k: Range<Int>, into panels: UnsafeMutableRawPointer,
    decoded: UnsafeMutableRawPointer
  ) -> Bool {
    guard let kernel = kernels.codes, let source = columnCodes(product, columns, k) else { return false }
    return source.pack(
      isTransposed: layout == .nt, k: k.count, columns: columns.count, kernel, into: panels,
      addresses: decoded.assumingMemoryBound(to: UnsafePointer<Float>?.self))
  }

  /// Packs a panel of columns from codes by way of an array of numbers.
  private func packCodes(
    _ product: Product, _ columns: Range<Int>, _ k: Range<Int>, into panel: UnsafeMutableRawPointer,
    decoded: UnsafeMutableRawPointer
  ) {
    guard let source = columnCodes(product, columns, k) else { return }
    let isTransposed = layout == .nt
    // Decoded rows of a whole panel are a panel.
    if !isTransposed, kernels.element == hadal_float32, columns.count == Int(kernels.columns) {
      return source.decode(to: kernels.element, into: panel, rowLength: columns.count)
    }
    let rowLength = isTransposed ? k.count : columns.count
    source.decode(to: kernels.element, into: decoded, rowLength: rowLength)
    kernels.packing(of: kernels.element).b(
      isTransposed, decoded, rowLength, nil, k.count, columns.count, panel)
  }

  /// The codes of columns of B; nil where B holds numbers.
  func columnCodes(_ product: Product, _ columns: Range<Int>, _ k: Range<Int>) -> CodeSource? {
    guard let codes = bCodes else { return nil }
    let (rows, across) = layout == .nt ? (columns, k) : (k, columns)
    let first = product.b / product.ldb
    return CodeSource(
      codes: codes, rows: first + rows.lowerBound..<first + rows.upperBound,
      index: product.bRows.map { $0 + k.lowerBound }, columns: across, isScaled: !promotes)
  }

  /// The codes of rows of A; nil where A holds numbers.
  func rowCodes(_ product: Product, _ rows: Range<Int>, _ k: Range<Int>) -> CodeSource? {
    guard let codes = aCodes else { return nil }
    let (down, across) = layout == .tn ? (k, rows) : (rows, k)
    let first = product.a / product.lda
    return CodeSource(
      codes: codes, rows: first + down.lowerBound..<first + down.upperBound,
      index: product.aRows.map { $0 + down.lowerBound }, columns: across, isScaled: !promotes)
  }

  /// Where the columns of B begin in memory for a run; where rows are picked, the index stands for the run's offset.
  private func source(_ product: Product, _ columns: Range<Int>, _ k: Range<Int>) -> UnsafeRawPointer {
    let isTransposed = layout == .nt
    var offset =
      product.b + (isTransposed ? columns.lowerBound * product.ldb + k.lowerBound : columns.lowerBound)
    if !isTransposed, product.bRows == nil { offset += k.lowerBound * product.ldb }
    return UnsafeRawPointer(b.tensor.pointer + offset * b.tensor.dtype.byteCount)
  }

  /// Whether columns of B are not worth packing: they stand as the kernel can read them, and few rows want them.
  private func readsInPlace(_ product: Product, _ columns: Range<Int>) -> Bool {
    layout == .tn && b.tensor.dtype == .float32 && kernels.element == hadal_float32 && product.bRows == nil
      && product.m <= Self.inPlacePanels * Int(kernels.rows) && columns.count % Int(kernels.columns) == 0
  }

  /// Columns of B as the kernel reads them.
  struct ColumnPanels {
    let address: UnsafeRawPointer
    /// Elements from a panel and from a k to the next.
    let panel, step: Int
  }

  /// - Parameter packed: where ``pack(_:_:_:_:into:decoded:)`` has put them.
  func columnPanels(
    _ product: Product, _ columns: Range<Int>, _ k: Range<Int>, packed: UnsafeRawPointer
  ) -> ColumnPanels {
    let width = Int(kernels.columns)
    if readsInPlace(product, columns) {
      return ColumnPanels(address: source(product, columns, k), panel: width, step: product.ldb)
    }
    return ColumnPanels(address: packed, panel: kernels.padded(k.count) * width, step: width)
  }

  /// Panels of A as the kernel reads them: where they are if possible, else packed.
  struct RowPanels {
    let address: UnsafeRawPointer
    /// Elements from a row and from a k to the next.
    let row, step: Int
    /// Bytes from a panel to the next.
    let bytes: Int
  }

  /// Rows of A for a run; packed into `panels` where they cannot be read in place.
  /// - Parameter decoded: ``decodedFloats``.
  func rowPanels(
    _ product: Product, _ rows: Range<Int>, _ k: Range<Int>, into panels: UnsafeMutableRawPointer,
    decoded: UnsafeMutableRawPointer
  ) -> RowPanels {
    let isTransposed = layout == .tn
    let isWhole = kernels.unit == 1 || (k.count % Int(kernels.unit) == 0 && rows.count == Int(kernels.rows))
    if let source = rowCodes(product, rows, k) {
      if !isTransposed, isWhole {
        source.decode(to: kernels.element, into: panels, rowLength: k.count)
      } else {
        let rowLength = isTransposed ? rows.count : k.count
        source.decode(to: kernels.element, into: decoded, rowLength: rowLength)
        kernels.packing(of: kernels.element).a(
          isTransposed, decoded, rowLength, nil, k.count, rows.count, panels)
      }
    } else {
      // Where rows of memory are picked, the index stands for their offset.
      let (a, memoryRow) = (a.tensor, isTransposed ? k.lowerBound : rows.lowerBound)
      let column = isTransposed ? rows.lowerBound : k.lowerBound
      let offset = product.a + column + (product.aRows == nil ? memoryRow * product.lda : 0)
      let source = a.pointer + offset * a.dtype.byteCount
      if !isTransposed, product.aRows == nil, isWhole, a.storageType == kernels.element {
        return RowPanels(address: source, row: product.lda, step: 1, bytes: 0)
      }
      kernels.packing(a.dtype).a(
        isTransposed, source, product.lda, product.aRows.map { $0 + memoryRow }, k.count, rows.count, panels)
    }
    let padded = kernels.padded(k.count)
    let isColumnwise = isTransposed && kernels.element == hadal_float32
    return RowPanels(
      address: UnsafeRawPointer(panels), row: isColumnwise ? 1 : padded,
      step: isColumnwise ? Int(kernels.rows) : 1,
      bytes: padded * Int(kernels.rows) * kernels.elementBytes)
  }
}
