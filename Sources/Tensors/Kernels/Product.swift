internal import CKernels

/// One matrix product inside larger arrays: `y[m, n] = a b`; offsets and row lengths in elements.
struct Product {
  var a, b, y: Int
  var m, n, k: Int
  var lda, ldb, ldy: Int
  /// Which rows of the memory of a and b are read, where not all in their order.
  var aRows: UnsafePointer<Int32>?
  var bRows: UnsafePointer<Int32>?

  /// The most rows, and the most sums, of a product whose k is cut.
  private static let (fewRows, fewSums) = (64, 1 << 18)
  private static let mostSlices = 8

  /// A weight gradient of few sums over a long k, cut along k: products of their own, whose results `[slices, m, n]`
  /// follow each other. Each is whole runs. nil for a product that is not cut. Which ones are, and where, is a matter
  /// of the sizes alone, so that the bits are the same for any number of threads.
  func slices(_ layout: Layout) -> [Product]? {
    let runs = (k + Blocking.longestRun - 1) / Blocking.longestRun
    guard layout == .tn, runs > 1, m <= Self.fewRows, m * n <= Self.fewSums, aRows == nil, bRows == nil else {
      return nil
    }
    let length = (runs + Self.mostSlices - 1) / Self.mostSlices * Blocking.longestRun
    return stride(from: 0, to: k, by: length).enumerated().map { index, first in
      var slice = self
      slice.k = min(length, k - first)
      (slice.a, slice.b, slice.y) = (a + first * lda, b + first * ldb, index * m * n)
      return slice
    }
  }

  /// Rows of this product, as rows of the whole result.
  func rowsOfResult(_ rows: Range<Int>) -> Range<Int> {
    y / ldy + rows.lowerBound..<y / ldy + rows.upperBound
  }

  var flops: Double { 2 * Double(m) * Double(n) * Double(k) }
}

/// What is done with rows of the result as soon as they are complete, by the thread that completed them.
typealias RowWork = (_ rows: Range<Int>) -> Void

/// How a product is cut, from outside to inside: blocks of columns whose packed B fits the second-level cache, runs of k
/// whose sums stay in registers, panels of A that stay in the first-level cache.
///
/// Each element of y is one sum over each run of k, and the runs are added in order: the bits depend on the length of
/// the runs, which is fixed, and on nothing else here.
struct Blocking {
  /// The longest run of k, and the widest block of columns: 1 MB of float32 together.
  static let longestRun = 512
  static let widestBlock = 512
  /// A multiple of every kernel's unit.
  static let unit = 32

  let runLength, runs: Int
  /// Columns in a block, a multiple of the kernel's panel; and how many blocks there are.
  let columns, blocks: Int
  /// Bytes of one run and of all runs of a block's packed columns.
  let runBytes: Int
  var blockBytes: Int { runBytes * runs }

  /// - Parameters:
  ///   - unit: what all runs but the last are multiples of.
  ///   - widest: the most columns in a block.
  ///   - bytes: what a packed block may take, if one panel of columns can be had for that.
  init(
    _ product: Product, _ kernels: hadal_product_kernels, unit: Int, widest: Int = Self.widestBlock,
    within bytes: Int
  ) {
    let panel = Int(kernels.columns)
    (runs, runLength) = Self.runs(of: product.k, unit: unit)
    let panelBytes = runLength * panel * kernels.elementBytes
    let panels = (product.n + panel - 1) / panel
    let most = max(1, min(widest / panel, bytes / (panelBytes * runs)))
    blocks = (panels + most - 1) / most
    let panelsEach = (panels + blocks - 1) / blocks
    (columns, runBytes) = (panelsEach * panel, panelsEach * panelBytes)
  }

  /// How many runs k is cut into, as equal as can be, and how long they are: a matter of k and the unit alone.
  static func runs(of k: Int, unit: Int) -> (count: Int, length: Int) {
    let count = max(1, (k + longestRun - 1) / longestRun)
    return (count, max(unit, ((k + count - 1) / count + unit - 1) / unit * unit))
  }

  /// The k of a run.
  func k(_ run: Int, of product: Product) -> Range<Int> {
    run * runLength..<min(product.k, (run + 1) * runLength)
  }

  /// The columns of a block.
  func columns(_ block: Int, of product: Product) -> Range<Int> {
    block * columns..<min(product.n, (block + 1) * columns)
  }
}

/// A part of a product that one thread computes: the columns of a block, some of the rows.
struct ProductItem {
  let product, block: Int
  let rows: Range<Int>

  /// The item in parts of some panels of rows, at least, and of work that is worth a part.
  func parts(panel: Int, panels: Int, flopsPerRow: Double) -> [ProductItem] {
    // An expert without tokens has k = 0.
    let least = max(panels * panel, Int(Self.leastFlops / max(1, flopsPerRow)))
    return Self.parts(of: rows.count, panel: panel, count: rows.count / least).map {
      ProductItem(
        product: product, block: block,
        rows: rows.lowerBound + $0.lowerBound..<rows.lowerBound + $0.upperBound)
    }
  }

  /// About 50 µs of a core.
  private static let leastFlops = 8e6

  /// The rows of a product in parts of whole panels, as equal as can be.
  static func parts(of rows: Int, panel: Int, count: Int) -> [Range<Int>] {
    let panels = (rows + panel - 1) / panel
    let count = max(1, min(count, panels))
    return (0..<count).map {
      panels * $0 / count * panel..<min(rows, panels * ($0 + 1) / count * panel)
    }
  }
}
