internal import CKernels

/// One matrix product inside larger arrays: `y[m, n] = a b`; offsets and row lengths in elements.
struct Product {
  var a, b, y: Int
  var m, n, k: Int
  var lda, ldb, ldy: Int
  /// Which rows of the memory of a and b are read, where not all in their order: then a and b are offsets into these.
  var aRows, bRows: UnsafePointer<Int32>?

  init(
    a: Int, b: Int, y: Int, m: Int, n: Int, k: Int, lda: Int, ldb: Int, ldy: Int,
    aRows: UnsafePointer<Int32>? = nil, bRows: UnsafePointer<Int32>? = nil
  ) {
    (self.a, self.b, self.y) = (a, b, y)
    (self.m, self.n, self.k) = (m, n, k)
    (self.lda, self.ldb, self.ldy) = (lda, ldb, ldy)
    (self.aRows, self.bRows) = (aRows, bRows)
  }

  var flops: Double { 2 * Double(m) * Double(n) * Double(k) }
}

/// How a product is cut, from outside to inside: columns of B that stay in the second-level cache once they are packed,
/// runs of k whose sums stay in registers, panels of A that stay in the first-level cache.
///
/// Each element of y is one sum over each run of k, and the runs are added in order: the bits depend on the length of
/// the runs, which is fixed, and on nothing else here.
struct Blocking {
  /// The longest run of k.
  static let run = 512
  /// What packed columns of B may take of a second-level cache, in bytes.
  static let budget = 1 << 20
  /// The most columns in a block.
  static let widest = 512

  let runLength, runs: Int
  /// Columns in a block, a multiple of the kernel's panel; and how many blocks there are.
  let columns, columnBlocks: Int
  /// Runs that are packed at once. Where it is all of them, B stays packed for the next rows too.
  let runsTogether: Int

  /// - Parameter repacksA: whether each block of columns has to pack A again, which long rows of B then cost.
  init(_ product: Product, _ kernels: hadal_product_kernels, repacksA: Bool) {
    let (panel, bytes) = (Int(kernels.columns), kernels.elementBytes)
    runs = max(1, (product.k + Self.run - 1) / Self.run)
    // A multiple of every kernel's unit.
    runLength = max(32, min(Self.run, ((product.k + runs - 1) / runs + 31) / 32 * 32))
    let panels = (product.n + panel - 1) / panel
    let fitting = Self.budget / (runLength * runs * panel * bytes)
    let isNarrow = fitting < (repacksA ? 8 : 2)
    runsTogether = isNarrow && runs > 1 ? 1 : runs
    let most = min(Self.widest / panel, Self.budget / (runLength * runsTogether * panel * bytes))
    columnBlocks = (panels + most - 1) / most
    columns = (panels + columnBlocks - 1) / columnBlocks * panel
  }

  var keepsB: Bool { runsTogether == runs }
}

/// A part of a product that one thread computes: all columns of a block, some of the rows.
struct ProductItem {
  let product: Int
  let column: Int
  let rows: Range<Int>

  /// Cuts products into items of about equal work, those that share packed columns side by side.
  ///
  /// The rows of an item are a compromise: B is packed anew for each block of columns that a thread meets, and
  /// threads must end together.
  static func items(
    _ products: [Product], _ blockings: [Blocking], panel: Int, threads: Int
  ) -> [ProductItem] {
    let total = zip(products, blockings).reduce(0) { $0 + $1.0.m * $1.1.columnBlocks }
    var items: [ProductItem] = []
    for (index, (product, blocking)) in zip(products, blockings).enumerated() where product.m > 0 {
      let target = max(total / (threads * (blocking.keepsB ? 4 : 1)), 4 * panel)
      let panels = (product.m + panel - 1) / panel
      var parts = max(1, min(product.m / min(target, 72 * panel), panels))
      // Few items must come out even: three of them on two threads take as long as four.
      while products.count == 1, parts < panels, parts * blocking.columnBlocks < 8 * threads,
        parts * blocking.columnBlocks % threads != 0
      {
        parts += 1
      }
      for block in 0..<blocking.columnBlocks {
        for part in 0..<parts {
          let begin = panels * part / parts * panel
          let end = min(product.m, panels * (part + 1) / parts * panel)
          items.append(
            ProductItem(product: index, column: block * blocking.columns, rows: begin..<end))
        }
      }
    }
    return items
  }
}
