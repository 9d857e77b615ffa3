internal import CKernels

/// One item of a product: its rows with the packed columns, run by run.
extension ProductLoop {
  /// Rows of A that are read at once: a panel that stays in the first-level cache, or four where A is transposed
  /// while it is packed, since these share cache lines.
  var rowsTogether: Int { Int(kernels.rows) * (layout == .tn ? 4 : 1) }

  /// What runs of k are multiples of: every kernel's unit, or tiles that have scales.
  var runUnit: Int { promotes ? QuantizedTensor.tile : Blocking.unit }

  /// Whether the float32 sums of an item wait in a buffer from one run of k to the next, because y cannot hold them.
  func buffersSums(_ product: Product) -> Bool {
    product.k > Blocking.longestRun && y.dtype != .float32
  }

  /// Whether rows are complete when they leave the kernel.
  func completesAtOnce(_ product: Product, _ blocking: Blocking) -> Bool {
    blocking.runs == 1 && !buffersSums(product)
  }

  /// What each thread works with: packed B, panels of A, sums that y cannot hold, codes that were decoded, and scales
  /// of a run's tiles: `[tile][column]`, `[tile][row]`.
  struct Buffers {
    let b, a, c, decoded: UnsafeMutableRawPointer
    let columnScales, rowScales: UnsafeMutablePointer<Float>

    init(_ buffers: [UnsafeMutablePointer<Float>]) {
      (b, a, c, decoded) = (.init(buffers[0]), .init(buffers[1]), .init(buffers[2]), .init(buffers[3]))
      (columnScales, rowScales) = (buffers[4], buffers[5])
    }
  }

  /// - Parameters:
  ///   - packed: the size of packed B, in floats; of sums as well.
  func scratch(packed: Int = 0, sums: Int) -> Scratch {
    let tiles = promotes ? QuantizedTensor.tiles(Blocking.longestRun) : 0
    let panels = rowsTogether * Blocking.longestRun * kernels.elementBytes / 4
    return Scratch(
      sizes: [packed, panels, sums, decodedFloats, tiles * Blocking.widestBlock, tiles * Int(kernels.rows)],
      threads: y.device.workers.threads, on: y.device)
  }

  /// One run of an item: its rows with the packed columns.
  func multiply(
    _ product: Product, _ blocking: Blocking, _ item: ProductItem, _ run: Int, _ packed: UnsafeRawPointer,
    _ work: Buffers
  ) {
    let (k, columns) = (blocking.k(run, of: product), blocking.columns(item.block, of: product))
    let buffers = buffersSums(product)
    let width = buffers ? 4 : y.dtype.byteCount
    let ldc = buffers ? blocking.columns : product.ldy
    let c = buffers ? work.c : target(product, item, columns)
    let adds = run > 0 || accumulates
    let output =
      adds ? hadal_add_float32 : y.dtype == .float32 || buffers ? hadal_store_float32 : hadal_store_bfloat16
    let b = columnPanels(product, columns, k, packed: packed)
    var scales = hadal_tile_scales(
      row: work.rowScales, column: work.columnScales, row_tile: Int(kernels.rows),
      column_tile: blocking.columns)
    if promotes {
      forEachTile(k) { tile, k in
        columnCodes(product, columns, k)?
          .columnScales(ofProduct: layout, into: work.columnScales + tile * scales.column_tile)
      }
    }
    for first in stride(from: item.rows.lowerBound, to: item.rows.upperBound, by: rowsTogether) {
      let rows = first..<min(first + rowsTogether, item.rows.upperBound)
      let panels = rowPanels(product, rows, k, into: work.a, decoded: work.decoded)
      for row in stride(from: rows.lowerBound, to: rows.upperBound, by: Int(kernels.rows)) {
        let part = row..<min(row + Int(kernels.rows), rows.upperBound)
        let sums = c + (row - item.rows.lowerBound) * ldc * width
        let a = panels.address + (row - first) / Int(kernels.rows) * panels.bytes
        if promotes {
          forEachTile(k) { tile, k in
            rowCodes(product, part, k)?
              .rowScales(ofProduct: layout, into: work.rowScales + tile * scales.row_tile)
          }
        }
        withUnsafePointer(to: &scales) { scales in
          kernels.multiply(
            part.count, k.count, a, panels.row, panels.step, b.address, b.panel, b.step, columns.count,
            promotes ? scales : nil, sums, ldc, output)
        }
      }
      if blocking.blocks == 1, completesAtOnce(product, blocking) { finish?(product.rowsOfResult(rows)) }
    }
  }

  /// The tiles of a run that begins with one, and how many came before; of an empty run the tile with nothing in it.
  private func forEachTile(_ k: Range<Int>, _ body: (Int, Range<Int>) -> Void) {
    for i in 0..<max(1, QuantizedTensor.tiles(k.count)) {
      let first = k.lowerBound + i * QuantizedTensor.tile
      body(i, first..<min(first + QuantizedTensor.tile, k.upperBound))
    }
  }

  /// Stores the sums that were buffered, rounded once.
  func roundSums(
    _ product: Product, _ blocking: Blocking, _ item: ProductItem, _ work: Buffers
  ) {
    guard buffersSums(product) else { return }
    let columns = blocking.columns(item.block, of: product)
    let (y, round) = (target(product, item, columns), y.device.typed(y.dtype).from_float!)
    let sums = work.c.assumingMemoryBound(to: Float.self)
    for i in 0..<item.rows.count {
      round(sums + i * blocking.columns, y + i * product.ldy * self.y.dtype.byteCount, columns.count)
    }
  }

  private func target(_ product: Product, _ item: ProductItem, _ columns: Range<Int>)
    -> UnsafeMutableRawPointer
  {
    y.pointer + (product.y + item.rows.lowerBound * product.ldy + columns.lowerBound) * y.dtype.byteCount
  }
}
