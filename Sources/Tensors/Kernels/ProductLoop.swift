internal import CKernels

/// Computes products on all threads, with the panel kernels for their operands.
///
/// B is packed first: by the thread that computes the columns, just before it needs them, where that thread has rows
/// enough to be worth it (experts; a large product on few threads); else by all threads together, into memory that
/// they share.
struct ProductLoop {
  let kernels: hadal_product_kernels
  let layout: Layout
  let a, b: Operand
  /// Those of the operands, while products run.
  private(set) var aCodes, bCodes: CodeView?
  let y: Tensor
  /// Whether sums leave the kernel every 128 of k to be multiplied by scales (``ScaleRoute/promoted``).
  let promotes: Bool
  /// Panels of B that are kept, and need no packing; nil where none are.
  let kept: KeptPanels?
  let accumulates: Bool
  let finish: RowWork?

  /// Rows of an item that stay together: few enough that items come out even, and that their float32 sums fit beside
  /// packed B in the second-level cache.
  private static let itemRows = 256
  /// What the shared packed columns may take, in bytes.
  private static let sharedBytes = 16 << 20
  /// The most rows that one packing of a block serves, and the fewest that make it worth a thread's own.
  private static let ownRows = 256...1024
  /// Where rows are few: the fewest columns that make it worth a thread's while to multiply all rows with its own.
  private static let ownColumns = 128
  /// Columns of an item where k is cut into slices.
  private static let sliceColumns = 256
  /// Panels of rows in the items that come last.
  private static let lastPanels = 4

  /// - Parameters:
  ///   - packed: what keeps panels of B, where it does for this layout.
  ///   - accumulates: add to y, which is float32 then.
  ///   - finish: what is done with rows of y that are complete, while they are in the cache.
  init(
    _ a: Operand, _ b: Operand, into y: Tensor, _ layout: Layout, promotes: Bool = false,
    packed: PackedWeights? = nil, accumulates: Bool, finish: RowWork? = nil
  ) {
    (self.layout, self.a, self.b, self.y) = (layout, a, b, y)
    (self.promotes, self.accumulates, self.finish) = (promotes, accumulates, finish)
    kernels = y.device.products(a.tensor.dtype, b.tensor.dtype)
    kept = packed?.panels(layout, kernels)
  }

  func run(_ products: [Product]) {
    a.withView { a in
      b.withView { b in
        var loop = self
        (loop.aCodes, loop.bCodes) = (a, b)
        loop.runWithViews(products)
      }
    }
  }

  private func runWithViews(_ products: [Product]) {
    guard let first = products.first else { return }
    let threads = y.device.workers.threads
    if products.count == 1, y.dtype == .float32, let slices = first.slices(layout) {
      runSlices(slices, at: first.y)
    } else if finish != nil || products.count > 1 || first.m >= Self.ownRows.lowerBound * threads {
      runOwn(products)
    } else if first.n >= Self.ownColumns * threads {
      runOwn(products, widest: min(Blocking.widestBlock, (first.n + threads - 1) / threads))
    } else if kept != nil {
      runOwn(products)
    } else {
      runShared(first)
    }
  }

  // MARK: - Few sums, each over a long k

  /// The slices of a product as products of their own, and their sums in order.
  private func runSlices(_ slices: [Product], at offset: Int) {
    let (count, workers) = (slices[0].m * slices[0].n, y.device.workers)
    let partial = Tensor([slices.count, count], on: y.device)
    var loop = ProductLoop(a, b, into: partial, layout, promotes: promotes, accumulates: false)
    (loop.aCodes, loop.bCodes) = (aCodes, bCodes)
    loop.runOwn(slices, widest: Self.sliceColumns)
    let (sums, add) = (y.floats.baseAddress! + offset, y.device.kernels.pointee.add_float!)
    workers.forEachRange(count, grain: elementGrain) { range in
      let first = sums + range.lowerBound
      for i in slices.indices {
        let slice = partial.floats.baseAddress! + i * count + range.lowerBound
        if i == 0, !accumulates {
          first.update(from: slice, count: range.count)
        } else {
          add(slice, first, range.count)
        }
      }
    }
  }

  // MARK: - Columns packed together

  private func runShared(_ product: Product) {
    let blocking = Blocking(product, kernels, unit: runUnit, within: Self.sharedBytes)
    let together = max(1, Self.sharedBytes / blocking.blockBytes)
    let workers = y.device.workers
    let shared = Tensor([max(Self.sharedBytes, blocking.blockBytes) / 4], on: y.device)
    let scratch = scratch(sums: buffersSums(product) ? itemRows * blocking.columns : 0)
    for first in stride(from: 0, to: blocking.blocks, by: together) {
      let blocks = first..<min(blocking.blocks, first + together)
      let place = { (block: Int, run: Int) in
        shared.pointer + (block - first) * blocking.blockBytes + run * blocking.runBytes
      }
      workers.forEach(blocks.count * blocking.runs) { i, thread in
        let (block, run) = (first + i / blocking.runs, i % blocking.runs)
        let decoded = Buffers(scratch.buffers(thread)).decoded
        pack(product, blocking, block, run, into: place(block, run), decoded: decoded)
      }
      let parts = parts(of: product.m, blocks: blocks.count, threads: workers.threads)
      workers.forEach(blocks.count * parts.count) { i, thread in
        // Those that share columns side by side: they stay in the thread's cache.
        let item = ProductItem(product: 0, block: first + i / parts.count, rows: parts[i % parts.count])
        let work = Buffers(scratch.buffers(thread))
        for run in 0..<blocking.runs {
          multiply(product, blocking, item, run, UnsafeRawPointer(place(item.block, run)), work)
        }
        roundSums(product, blocking, item, work)
      }
    }
  }

  /// Rows in parts of at most ``itemRows``, so many that the threads come out even.
  private func parts(of rows: Int, blocks: Int, threads: Int) -> [Range<Int>] {
    let panel = Int(kernels.rows)
    var count = max((rows + itemRows - 1) / itemRows, min(rows / (4 * panel), 4 * threads / blocks))
    while count * blocks < 8 * threads, count * blocks % threads != 0, count * panel < rows { count += 1 }
    return ProductItem.parts(of: rows, panel: panel, count: count)
  }

  private var itemRows: Int { Self.itemRows / Int(kernels.rows) * Int(kernels.rows) }

  // MARK: - Columns packed by the thread that needs them

  private func runOwn(_ products: [Product], widest: Int = Blocking.widestBlock) {
    let workers = y.device.workers
    // Sums that y cannot hold from one run to the next take as much of the cache as packed B does.
    let buffers = products.contains(where: buffersSums)
    let blockings = products.map { product in
      Blocking(
        product, kernels, unit: runUnit,
        widest: buffersSums(product) ? min(widest, Blocking.widestBlock / 2) : widest, within: .max)
    }
    let most = buffers ? Self.ownRows.upperBound / 2 : Self.ownRows.upperBound
    let items = items(products, blockings, most: most)
    let widestSums = zip(products, blockings).map { buffersSums($0) ? $1.columns : 0 }.max() ?? 0
    let scratch = scratch(
      packed: kept == nil ? packedFloats : 0, sums: (most + Int(kernels.rows)) * widestSums)
    // Whose columns a thread has packed.
    var packed = [PackedColumns?](repeating: nil, count: workers.threads)
    packed.withUnsafeMutableBufferPointer { packed in
      let packed = packed
      workers.forEach(items.count) { i, thread in
        let item = items[i]
        let (product, blocking) = (products[item.product], blockings[item.product])
        compute(item, of: product, blocking, packed: &packed[thread], Buffers(scratch.buffers(thread)))
      }
    }
    if let finish {
      for (product, blocking) in zip(products, blockings) where blocking.blocks > 1 {
        y.device.forEachRows(product.m, width: product.n) { finish(product.rowsOfResult($0)) }
      }
    }
  }

  /// A block of columns of a product.
  private typealias PackedColumns = (product: Int, block: Int)

  /// An item with columns that the thread packs, unless it has them or they are kept.
  private func compute(
    _ item: ProductItem, of product: Product, _ blocking: Blocking, packed: inout PackedColumns?,
    _ work: Buffers
  ) {
    let stays = holdsBlock(blocking)
    let isPacked = kept != nil || (stays && packed.map { $0 == (item.product, item.block) } == true)
    packed = (item.product, item.block)
    for run in 0..<blocking.runs {
      let own = work.b + (stays ? run * blocking.runBytes : 0)
      let b = keptPanels(product, blocking, item.block, run) ?? own
      if !isPacked { pack(product, blocking, item.block, run, into: b, decoded: work.decoded) }
      multiply(product, blocking, item, run, UnsafeRawPointer(b), work)
    }
    roundSums(product, blocking, item, work)
    if blocking.blocks == 1, !completesAtOnce(product, blocking) {
      finish?(product.rowsOfResult(item.rows))
    }
  }

  /// The parts of products that threads compute, those of the same columns one after the other.
  private func items(_ products: [Product], _ blockings: [Blocking], most: Int) -> [ProductItem] {
    let threads = y.device.workers.threads
    let total = zip(products, blockings).reduce(0) { $0 + $1.0.m * $1.1.blocks }
    let target = min(most, max(Self.ownRows.lowerBound, total / (4 * threads)))
    var items: [ProductItem] = []
    for (index, (product, blocking)) in zip(products, blockings).enumerated() {
      var count = (product.m + target - 1) / target
      if products.count == 1 {
        count = (product.m + most - 1) / most
        while count * blocking.blocks < 4 * threads, count * blocking.blocks % threads != 0 { count += 1 }
      }
      let parts = ProductItem.parts(of: product.m, panel: Int(kernels.rows), count: count)
      for block in 0..<blocking.blocks {
        items += parts.map { ProductItem(product: index, block: block, rows: $0) }
      }
    }
    // The last ones are small, so that the threads end together, where that means no packing more than once.
    let last = items.suffix(threads).flatMap { item in
      let (product, blocking) = (products[item.product], blockings[item.product])
      guard kept != nil || holdsBlock(blocking) else { return [item] }
      let flops = 2 * Double(min(blocking.columns, product.n)) * Double(product.k)
      return item.parts(panel: Int(kernels.rows), panels: Self.lastPanels, flopsPerRow: flops)
    }
    return items.dropLast(threads) + last
  }

  /// Floats of packed columns that a thread has at once.
  private var packedFloats: Int { Blocking.longestRun * Blocking.widestBlock * kernels.elementBytes / 4 }

  /// Whether a thread has memory for all runs of a block, so that they stay for its next item.
  private func holdsBlock(_ blocking: Blocking) -> Bool { blocking.blockBytes <= packedFloats * 4 }
}
