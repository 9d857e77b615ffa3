internal import CKernels

/// Operands as the kernels read them: packed, or where they are.
extension ProductLoop {
  /// The most panels of rows for which columns of B are read in place.
  private static let inPlacePanels = 3

  /// Packs a run of a block of columns, unless they are read in place.
  func pack(
    _ product: Product, _ blocking: Blocking, _ block: Int, _ run: Int, into panels: UnsafeMutableRawPointer
  ) {
    let (k, columns) = (blocking.k(run, of: product), blocking.columns(block, of: product))
    guard !readsInPlace(product, columns) else { return }
    kernels.packing(b.dtype).b(
      layout == .nt, source(product, columns, k), product.ldb, product.bRows.map { $0 + k.lowerBound },
      k.count,
      columns.count, panels)
  }

  /// Where the columns of B begin in memory for a run; where rows are picked, the index stands for the run's offset.
  private func source(_ product: Product, _ columns: Range<Int>, _ k: Range<Int>) -> UnsafeRawPointer {
    let isTransposed = layout == .nt
    var offset =
      product.b + (isTransposed ? columns.lowerBound * product.ldb + k.lowerBound : columns.lowerBound)
    if !isTransposed, product.bRows == nil { offset += k.lowerBound * product.ldb }
    return UnsafeRawPointer(b.pointer + offset * b.dtype.byteCount)
  }

  /// Whether columns of B are not worth packing: they stand as the kernel can read them, and few rows want them.
  private func readsInPlace(_ product: Product, _ columns: Range<Int>) -> Bool {
    layout == .tn && b.dtype == .float32 && kernels.element == hadal_float32 && product.bRows == nil
      && product.m <= Self.inPlacePanels * Int(kernels.rows) && columns.count % Int(kernels.columns) == 0
  }

  /// Columns of B as the kernel reads them.
  struct ColumnPanels {
    let address: UnsafeRawPointer
    /// Elements from a panel and from a k to the next.
    let panel, step: Int
  }

  /// - Parameter packed: where ``pack(_:_:_:_:into:)`` has put them.
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
  func rowPanels(
    _ product: Product, _ rows: Range<Int>, _ k: Range<Int>, into panels: UnsafeMutableRawPointer
  ) -> RowPanels {
    let isTransposed = layout == .tn
    // Where rows of memory are picked, the index stands for their offset.
    let memoryRow = isTransposed ? k.lowerBound : rows.lowerBound
    let column = isTransposed ? rows.lowerBound : k.lowerBound
    let offset = product.a + column + (product.aRows == nil ? memoryRow * product.lda : 0)
    let source = a.pointer + offset * a.dtype.byteCount
    let isWhole = kernels.unit == 1 || (k.count % Int(kernels.unit) == 0 && rows.count == Int(kernels.rows))
    if !isTransposed, product.aRows == nil, isWhole, a.storageType == kernels.element {
      return RowPanels(address: source, row: product.lda, step: 1, bytes: 0)
    }
    kernels.packing(a.dtype).a(
      isTransposed, source, product.lda, product.aRows.map { $0 + memoryRow }, k.count, rows.count, panels)
    let padded = kernels.padded(k.count)
    let isColumnwise = isTransposed && kernels.element == hadal_float32
    return RowPanels(
      address: UnsafeRawPointer(panels), row: isColumnwise ? 1 : padded,
      step: isColumnwise ? Int(kernels.rows) : 1,
      bytes: padded * Int(kernels.rows) * kernels.elementBytes)
  }
}
