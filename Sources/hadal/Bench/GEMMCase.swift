internal import Tensors

/// What a training step does with a weight matrix.
enum ProductKind: String, Encodable, CaseIterable {
  /// `y [T, N] = x [T, K] W [N, K]ᵀ`
  case forward
  /// `dx [T, K] = dy [T, N] W [N, K]`
  case inputGradient = "input gradient"
  /// `dW [N, K] += dy [T, N]ᵀ x [T, K]`, float32
  case weightGradient = "weight gradient"

  var layout: Layout {
    switch self {
    case .forward: .nt
    case .inputGradient: .nn
    case .weightGradient: .tn
    }
  }
}

/// One product with its operands: can be checked, then run as often as it takes to time it.
struct GEMMCase {
  let name: String
  let kind: ProductKind
  /// Of the whole product `[M, N] = [M, K] [K, N]`; of groups, the rows of all together.
  let m, n, k: Int
  /// Rows of group g are `offsets[g] ..< offsets[g + 1]`; one group where there are no experts.
  let offsets: [Int]
  let isGrouped: Bool
  let left, right: Tensor
  /// What a weight gradient is added to.
  let sum: Tensor?

  init(_ product: ModelProduct, _ kind: ProductKind, _ dtype: DType, offsets: [Int], on device: Device) {
    let (rows, n, k) = (offsets.last ?? 0, product.outputs, product.inputs)
    let weights = product.experts.map { [$0, n, k] } ?? [n, k]
    let random = { (shape: [Int], name: String) in
      Tensor.random(shape, product.isSingle ? .float32 : dtype, name, on: device)
    }
    (name, self.kind, self.offsets, isGrouped) = (product.name, kind, offsets, product.experts != nil)
    left = random([rows, kind == .forward ? k : n], "left")
    right = kind == .weightGradient ? random([rows, k], "right") : random(weights, "right")
    sum = kind == .weightGradient ? Tensor.random(weights, .float32, "sum", on: device) : nil
    (m, self.n, self.k) =
      switch kind {
      case .forward: (rows, n, k)
      case .inputGradient: (rows, k, n)
      case .weightGradient: (n, k, rows)
      }
  }

  var dtype: DType { left.dtype }
  var flops: Double { 2 * Double(m) * Double(n) * Double(k) }
  /// Of operands and result, each once; what is added to is read and written.
  var bytes: Int {
    left.byteCount + right.byteCount + (sum.map { 2 * $0.byteCount } ?? m * n * dtype.byteCount)
  }

  /// The bytes that the tensors of a product's three kinds take at most.
  static func byteCount(_ product: ModelProduct, _ dtype: DType, rows: Int) -> Int {
    let weight = product.outputs * product.inputs * (product.experts ?? 1)
    return 2 * rows * (product.outputs + product.inputs) * dtype.byteCount
      + weight * (4 + 4 + dtype.byteCount)
  }

  /// Computes it once; a weight gradient is added to what is there.
  @discardableResult
  func run() -> Tensor { run(into: sum.map { ($0, true) }) }

  /// - Parameter target: of a weight gradient.
  func run(into target: ProductTarget?) -> Tensor {
    let layout = kind.layout
    guard isGrouped else { return matmul(left, right, layout, into: target) }
    guard let target else { return groupedMatmul(left, right, layout, offsets: offsets) }
    groupedWeightGradient(left, right, offsets: offsets, into: target)
    return target.sums
  }
}

extension GEMMCase {
  /// An element of the result, and where the numbers that it is the sum of stand.
  struct Dot {
    let element: [Int]
    let index: Int
    var left, leftStep, right, rightStep, count: Int

    /// The sum in Double, and that of the magnitudes.
    func sum(_ a: Numbers, _ b: Numbers) -> (value: Double, magnitude: Double) {
      (0..<count).reduce(into: (0, 0)) { sum, i in
        let product = a[left + i * leftStep] * b[right + i * rightStep]
        sum = (sum.0 + product, sum.1 + abs(product))
      }
    }
  }

  /// Runs it once and compares elements of all groups with Double sums.
  ///
  /// Allowed are K float32 roundings as a random walk: 8 √K half units of Σ |a b| (λ = 8 in Higham and Mary's
  /// probabilistic bound), and half a unit of the value for its storage.
  /// - Throws: `WrongResult`.
  func check() throws(WrongResult) {
    let start = sum?.copied()
    try check(run(), addedTo: start)
  }

  /// - Parameter start: what a weight gradient was added to.
  func check(_ result: Tensor, addedTo start: Tensor?) throws(WrongResult) {
    let (a, b, start, found) = (Numbers(left), Numbers(right), start.map(Numbers.init), Numbers(result))
    for dot in dots {
      let (sum, first) = (dot.sum(a, b), start?[dot.index] ?? 0)
      let value = first + sum.value
      let roundings = 8 * Double(dot.count + 1).squareRoot() * 0x1p-24 * (abs(first) + sum.magnitude)
      try WrongResult.check(
        description, dot.element, found[dot.index], value,
        tolerance: roundings + found.rounding * abs(value))
    }
  }

  /// Samples of each group: ends and what lies between.
  var dots: [Dot] {
    let groups = offsets.count - 1
    return (0..<groups).flatMap { g in
      let (first, count) = (offsets[g], offsets[g + 1] - offsets[g])
      let rows = spread(groups > 1 ? 4 : 16, below: kind == .weightGradient ? m : count)
      return rows.flatMap { i in
        spread(groups > 1 ? 8 : 16, below: n).map { j in
          switch kind {
          case .forward:
            Dot(
              element: [first + i, j], index: (first + i) * n + j, left: (first + i) * k, leftStep: 1,
              right: (g * n + j) * k, rightStep: 1, count: k)
          case .inputGradient:
            Dot(
              element: [first + i, j], index: (first + i) * n + j, left: (first + i) * k, leftStep: 1,
              right: g * n * k + j, rightStep: n, count: k)
          case .weightGradient:
            Dot(
              element: isGrouped ? [g, i, j] : [i, j], index: (g * m + i) * n + j, left: first * m + i,
              leftStep: m, right: first * n + j, rightStep: n, count: count)
          }
        }
      }
    }
  }

  /// Name, kind and shape.
  var description: String {
    let groups = isGrouped ? ", \(offsets.count - 1) groups" : ""
    return "\(name), \(kind.rawValue) [M \(m), N \(n), K \(k)\(groups), \(dtype)]"
  }
}
