internal import CKernels

/// Computes products on all threads, with the panel kernels of one kind of operand.
struct ProductLoop {
  private let kernels: hadal_product_kernels
  private let layout: Layout
  private let a, b, y: Tensor
  private let accumulates: Bool
  private let products: [Product]
  private let blockings: [Blocking]

  /// - Parameter accumulates: add to y, which is float32 then.
  init(_ products: [Product], _ a: Tensor, _ b: Tensor, into y: Tensor, _ layout: Layout, accumulates: Bool) {
    let kernels = y.device.products(a.dtype, b.dtype)
    (self.kernels, self.layout, self.a, self.b, self.y) = (kernels, layout, a, b, y)
    (self.products, self.accumulates) = (products, accumulates)
    blockings = products.map { product in
      Blocking(product, kernels, repacksA: layout == .tn || a.storageType != kernels.element)
    }
  }

  /// Whether a sum is left in y between two visits, which only float32 can hold.
  var leavesSumsInY: Bool { blockings.contains { !$0.keepsB } }

  func run() {
    let device = y.device
    let items = ProductItem.items(
      products, blockings, panel: Int(kernels.rows), threads: device.workers.threads)
    // What each thread works with: packed B, a panel of A, and the sums of a panel that y cannot hold.
    let bytes = kernels.elementBytes
    let (bBytes, aBytes) = (Blocking.budget + 4096, Int(kernels.rows) * Blocking.run * bytes)
    let cBytes = Int(kernels.rows) * Blocking.widest * 4
    let stride = (bBytes + aBytes + cBytes + 4095) / 4096 * 4096
    let scratch = Tensor([device.workers.threads, stride / 4], on: device)
    var packed = [Int](repeating: -1, count: device.workers.threads)
    packed.withUnsafeMutableBufferPointer { packed in
      let packed = packed
      device.workers.forEach(items.count) { i, thread in
        let base = scratch.pointer + thread * stride
        let work = Buffers(b: base, a: base + bBytes, c: base + bBytes + aBytes)
        let tag = items[i].product << 32 | items[i].column
        run(items[i], work, isPacked: packed[thread] == tag)
        packed[thread] = blockings[items[i].product].keepsB ? tag : -1
      }
    }
  }

  private struct Buffers {
    let b, a, c: UnsafeMutableRawPointer
  }

  private func run(_ item: ProductItem, _ work: Buffers, isPacked: Bool) {
    let (product, blocking) = (products[item.product], blockings[item.product])
    let n = min(blocking.columns, product.n - item.column)
    for first in stride(from: 0, to: blocking.runs, by: blocking.runsTogether) {
      let runs = first..<first + blocking.runsTogether
      if !isPacked { pack(product, blocking, item.column, n, runs, into: work.b) }
      for row in stride(from: item.rows.lowerBound, to: item.rows.upperBound, by: Int(kernels.rows)) {
        let rows = min(Int(kernels.rows), item.rows.upperBound - row)
        multiply(product, blocking, (row, rows), (item.column, n), runs, work)
      }
    }
  }

  /// The bytes of one run's packed columns.
  private func runBytes(_ blocking: Blocking) -> Int {
    blocking.runLength * blocking.columns * kernels.elementBytes
  }

  private func pack(
    _ product: Product, _ blocking: Blocking, _ column: Int, _ n: Int, _ runs: Range<Int>,
    into panels: UnsafeMutableRawPointer
  ) {
    let packing = kernels.packing(b.dtype)
    for run in runs {
      let k0 = run * blocking.runLength
      let k = min(blocking.runLength, product.k - k0)
      let isTransposed = layout == .nt
      var offset = product.b + (isTransposed ? column * product.ldb + k0 : column)
      if !isTransposed, product.bRows == nil { offset += k0 * product.ldb }
      packing.b(
        isTransposed, b.pointer + offset * b.dtype.byteCount, product.ldb, product.bRows.map { $0 + k0 }, k,
        n,
        panels + (run - runs.lowerBound) * runBytes(blocking))
    }
  }

  /// One panel of A with the packed columns, all runs one after the other.
  private func multiply(
    _ product: Product, _ blocking: Blocking, _ row: (begin: Int, count: Int),
    _ column: (begin: Int, count: Int), _ runs: Range<Int>, _ work: Buffers
  ) {
    let width = y.dtype.byteCount
    let target = y.pointer + (product.y + row.begin * product.ldy + column.begin) * width
    // A rounded y takes the sum of all runs at once.
    let buffers = y.dtype != .float32 && runs.count > 1
    let (c, ldc) = buffers ? (work.c, Blocking.widest) : (target, product.ldy)
    for run in runs {
      let k0 = run * blocking.runLength
      let k = min(blocking.runLength, product.k - k0)
      let panel = panel(product, row, (k0, k), work)
      let output =
        run > 0 || accumulates
        ? hadal_add_float32 : y.dtype == .float32 || buffers ? hadal_store_float32 : hadal_store_bfloat16
      kernels.multiply(
        row.count, k, panel.address, panel.row, panel.step,
        work.b + (run - runs.lowerBound) * runBytes(blocking), kernels.padded(k) * Int(kernels.columns),
        column.count, c, ldc, output)
    }
    guard buffers else { return }
    let round = y.device.typed(y.dtype).from_float!
    let sums = work.c.assumingMemoryBound(to: Float.self)
    for i in 0..<row.count { round(sums + i * ldc, target + i * product.ldy * width, column.count) }
  }

  /// Rows of A as the kernel reads them: where they are if possible, else packed.
  private func panel(
    _ product: Product, _ row: (begin: Int, count: Int), _ k: (begin: Int, count: Int), _ work: Buffers
  ) -> (address: UnsafeRawPointer, row: Int, step: Int) {
    let isTransposed = layout == .tn
    let unit = Int(kernels.unit)
    var offset = product.a + (isTransposed ? row.begin : k.begin)
    var rows = product.aRows
    if isTransposed {
      if let index = rows { rows = index + k.begin } else { offset += k.begin * product.lda }
    } else if let index = rows {
      rows = index + row.begin
    } else {
      offset += row.begin * product.lda
    }
    let source = a.pointer + offset * a.dtype.byteCount
    let isWhole = unit == 1 || (k.count % unit == 0 && row.count == Int(kernels.rows))
    if !isTransposed, rows == nil, isWhole, a.storageType == kernels.element {
      return (UnsafeRawPointer(source), product.lda, 1)
    }
    let packing = kernels.packing(a.dtype)
    packing.a(isTransposed, source, product.lda, rows, k.count, row.count, work.a)
    if isTransposed, kernels.element == hadal_float32 {
      return (UnsafeRawPointer(work.a), 1, Int(kernels.rows))
    }
    return (UnsafeRawPointer(work.a), kernels.padded(k.count), 1)
  }
}
