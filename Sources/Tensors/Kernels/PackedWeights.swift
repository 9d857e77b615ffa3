internal import CKernels

/// The panels in which products read a weight, kept from the first product after a change until the next change.
///
/// They hold what the kernels multiply: 4 bytes a weight in each layout, 2 on levels that multiply pairs of bfloat16.
/// Made with the first product that wants them, an expert's with the first one that has rows for it.
package final class PackedWeights {
  /// What the panels are made from: `[N, K]`, or `[E, N, K]` of experts.
  package let weight: Tensor
  private let layouts: [Layout]
  private var panels: [Layout: KeptPanels] = [:]

  /// - Parameter layouts: the products whose panels are kept: `.nt` for Fprop, `.nn` for Dgrad; others pack each time.
  package init(of weight: Tensor, for layouts: [Layout]) {
    precondition(
      !layouts.contains(.tn) && (2...3).contains(weight.shape.count),
      "\(layouts) of a weight \(weight.shape): only matrices are kept, for Fprop and Dgrad")
    (self.weight, self.layouts) = (weight, layouts)
  }

  /// Forgets the panels, but keeps their memory: to be called after each change of the weight.
  package func weightDidChange() {
    for kept in panels.values { kept.forget() }
  }

  /// What the panels take now.
  package var byteCount: Int { panels.values.reduce(0) { $0 + $1.byteCount } }

  /// The panels for products of these kernels with the weight; nil where the layout is not kept.
  func panels(_ layout: Layout, _ kernels: hadal_product_kernels) -> KeptPanels? {
    guard layouts.contains(layout) else { return nil }
    let kept = panels[layout] ?? KeptPanels(weight, layout, kernels)
    precondition(
      kept.panel == Int(kernels.columns) && kept.elementBytes == kernels.elementBytes,
      "panels of \(kept.panel) × \(kept.elementBytes) bytes, read as \(kernels.columns) × "
        + "\(kernels.elementBytes)")
    panels[layout] = kept
    return kept
  }
}

@available(*, unavailable)
extension PackedWeights: Sendable {}

/// Panels of all columns of one or several matrices in one layout: for each matrix, for each run of k,
/// `[panels][k of the run, padded][columns of a panel]`.
///
/// Where a panel lies depends on the sizes of the matrix alone, so that each cut into blocks can read it: those depend
/// on rows and threads.
final class KeptPanels {
  /// Columns of a panel, and bytes of a number.
  let panel, elementBytes: Int
  private let n, k: Int
  private let memory: Tensor
  private let runBytes, matrixBytes: Int
  private var isFilled: [Bool]

  fileprivate init(_ weight: Tensor, _ layout: Layout, _ kernels: hadal_product_kernels) {
    let (rows, columns) = (weight.shape[weight.shape.count - 2], weight.columns)
    (n, k) = layout == .nt ? (rows, columns) : (columns, rows)
    (panel, elementBytes) = (Int(kernels.columns), kernels.elementBytes)
    let runs = Blocking.runs(of: k, unit: Blocking.unit)
    runBytes = kernels.paddedColumns(n) * kernels.padded(runs.length) * elementBytes
    matrixBytes = runs.count * runBytes
    let matrices = weight.count / (rows * columns)
    memory = Tensor([matrices, matrixBytes / 4], on: weight.device)
    isFilled = [Bool](repeating: false, count: matrices)
  }

  var byteCount: Int { memory.byteCount }

  /// The first panel of a run of a block.
  func address(_ product: Product, _ blocking: Blocking, _ block: Int, _ run: Int, padded k: Int)
    -> UnsafeMutableRawPointer
  {
    let column = blocking.columns(block, of: product).lowerBound
    return memory.pointer + matrix(product) * matrixBytes + run * runBytes + column * k * elementBytes
  }

  /// The products whose matrix is not packed; it counts as packed from here on.
  func takeMissing(_ products: [Product]) -> [Product] {
    let missing = products.filter { !isFilled[matrix($0)] }
    for product in missing { isFilled[matrix(product)] = true }
    return missing
  }

  func forget() {
    for matrix in isFilled.indices { isFilled[matrix] = false }
  }

  private func matrix(_ product: Product) -> Int {
    precondition(
      product.n == n && product.k == k && product.b.isMultiple(of: n * k),
      "panels of \(n) × \(k), read by a product of \(product.n) × \(product.k) at \(product.b)")
    return product.b / (n * k)
  }
}

extension ProductLoop {
  /// Columns that a thread packs at a time: so few that a small weight is work for several.
  private static let packedColumns = 128

  /// The kept panels of a run of a block; nil where none are kept.
  func keptPanels(_ product: Product, _ blocking: Blocking, _ block: Int, _ run: Int)
    -> UnsafeMutableRawPointer?
  {
    kept?.address(product, blocking, block, run, padded: kernels.padded(blocking.k(run, of: product).count))
  }

  /// Packs what the products will read of a kept weight and is not there: all threads together, before the first of
  /// them reads.
  func fillKeptPanels(_ products: [Product]) {
    guard let kept, case .numbers(let weight) = b else { return }
    let missing = kept.takeMissing(products)
    guard let first = missing.first else { return }
    let blocking = Blocking(
      first, kernels, unit: Blocking.unit, widest: Self.packedColumns, within: .max)
    let parts = blocking.blocks * blocking.runs
    let bytes = first.n * first.k * (weight.dtype.byteCount + kept.elementBytes)
    y.device.measured("pack weights \(layout)", .gemm, bytes: missing.count * bytes) {
      y.device.workers.forEach(missing.count * parts) { i in
        let (product, block, run) = (missing[i / parts], i % parts / blocking.runs, i % blocking.runs)
        guard let panels = keptPanels(product, blocking, block, run) else { return }
        packNumbers(
          weight, product, blocking.columns(block, of: product), blocking.k(run, of: product), into: panels)
      }
    }
  }
}
