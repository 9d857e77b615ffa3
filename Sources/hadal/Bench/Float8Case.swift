internal import Tensors

/// How operands of a product are stored, and scales of codes enter it.
enum GEMMVariant: String, Encodable, CaseIterable {
  case float32, bfloat16
  /// Float32 scales, which multiply the sums of 128 of k.
  case promoted = "fp8, float32 scales promoted"
  /// Scales that are powers of two, which packing multiplies codes by.
  case folded = "fp8, powers of two folded"

  fileprivate var route: ScaleRoute? {
    switch self {
    case .float32, .bfloat16: nil
    case .promoted: .promoted
    case .folded: .folded
    }
  }

  static let codes = [GEMMVariant.promoted, .folded]
}

/// The operands of a product as codes, and what they were quantized from.
struct Float8Case {
  let variant: GEMMVariant
  let left, right: QuantizedTensor
  /// The same product of float32 numbers.
  let numbers: GEMMCase
  /// What a weight gradient is added to.
  private let sum: Tensor?

  /// The greatest `‖found − sums‖ / ‖sums‖` over samples, with Double sums of what the codes stand for.
  static let largestError = 1e-6
  /// The greatest `1 − 2⟨x, y⟩ / (⟨x, x⟩ + ⟨y, y⟩)` over all elements, with y of the numbers. Source: DeepGEMM's tests.
  static let largestDissimilarity = 1e-3

  /// - Parameters:
  ///   - variant: one of codes.
  ///   - numbers: float32, with a result that was checked.
  init(_ variant: GEMMVariant, of numbers: GEMMCase) {
    precondition(variant.route != nil && numbers.dtype == .float32, "\(variant) of \(numbers.dtype)")
    let settings = ScaleSettings(powerOfTwo: variant == .folded)
    let (a, b) = (numbers.left, numbers.right)
    (self.variant, self.numbers, sum) = (variant, numbers, numbers.sum?.copied())
    switch numbers.kind {
    case .forward, .inputGradient:
      left = quantizeRows(a, settings)
      right = quantizeBlocks(b, period: b.shape[b.shape.count - 2], settings)
    case .weightGradient:
      left = quantizeColumns(a, offsets: numbers.offsets, settings)
      right = quantizeColumns(b, offsets: numbers.offsets, settings)
    }
  }

  /// Of operands and result, each once; what is added to is read and written.
  var bytes: Int {
    let result = sum.map { 2 * $0.byteCount } ?? numbers.m * numbers.n * DType.bfloat16.byteCount
    return left.byteCount + right.byteCount + result
  }

  /// As in training: bfloat16, or a sum in float32 that is added to.
  func run() { _ = run(output: .bfloat16, into: sum.map { ($0, true) }) }

  /// - Parameter target: of a weight gradient.
  func run(output: DType, into target: ProductTarget?) -> Tensor {
    let (layout, route, offsets) = (numbers.kind.layout, variant.route, numbers.offsets)
    guard numbers.isGrouped else {
      return matmul(left, right, layout, output: output, route: route, into: target)
    }
    guard let target else {
      return groupedMatmul(left, right, layout, offsets: offsets, output: output, route: route)
    }
    groupedWeightGradient(left, right, offsets: offsets, route: route, into: target)
    return target.sums
  }
}

extension Float8Case {
  /// How far a result is from what it should be.
  struct Errors: Encodable {
    let relativeError, dissimilarity: Double
  }

  /// Runs it in float32 and as in training.
  /// - Parameter unquantized: the product of the numbers.
  /// - Throws: `InexactProduct`.
  func check(_ unquantized: Tensor) throws(InexactProduct) -> Errors {
    // Not what is timed later, which goes on from sums that are there.
    let target = { sum.map { (Tensor($0.shape, on: $0.device), false) } }
    let errors = try check(run(output: .float32, into: target()), unquantized, within: Self.largestError)
    guard sum == nil else { return errors }
    // A norm of numbers that are each rounded once.
    _ = try check(run(output: .bfloat16, into: nil), unquantized, within: 0x1p-8)
    return errors
  }

  /// - Parameter largestError: what the relative error may be.
  func check(
    _ found: Tensor, _ unquantized: Tensor, within largestError: Double
  ) throws(InexactProduct) -> Errors {
    let errors = Errors(
      relativeError: relativeError(found), dissimilarity: Self.dissimilarity(found, unquantized))
    try InexactProduct.check(description, "relative error", errors.relativeError, below: largestError)
    try InexactProduct.check(
      description, "dissimilarity", errors.dissimilarity, below: Self.largestDissimilarity)
    return errors
  }

  private func relativeError(_ found: Tensor) -> Double {
    let (a, b) = (
      Numbers(left.dequantized(to: .float32)), Numbers(right.dequantized(to: .float32))
    )
    let found = Numbers(found)
    var (difference, norm) = (0.0, 0.0)
    for dot in numbers.dots {
      let value = dot.sum(a, b).value
      let error = found[dot.index] - value
      difference += error * error
      norm += value * value
    }
    return difference == 0 ? 0 : (difference / norm).squareRoot()
  }

  private static func dissimilarity(_ x: Tensor, _ y: Tensor) -> Double {
    let (x, y) = (x.converted(to: .float32), y.converted(to: .float32))
    let squares = sumOfSquares([x]) + sumOfSquares([y])
    // ⟨x − y, x − y⟩ = ⟨x, x⟩ − 2⟨x, y⟩ + ⟨y, y⟩
    let difference = y.copied()
    difference.scale(by: -1)
    add(x, difference, into: difference)
    let error = sumOfSquares([difference])
    return error == 0 ? 0 : error / squares
  }

  private var description: String { "\(numbers.description), \(variant.rawValue)" }
}

/// A product of codes that is not what these stand for, or too far from the product of the numbers.
struct InexactProduct: Error, CustomStringConvertible {
  let product, measure: String
  let value, limit: Double

  var description: String {
    "\(product): the \(measure) is \(value), at most \(limit) is right; it was not timed"
  }

  /// - Throws: where the value is not below the limit, or no number.
  static func check(
    _ product: @autoclosure () -> String, _ measure: String, _ value: Double, below limit: Double
  ) throws(InexactProduct) {
    if value <= limit { return }
    throw InexactProduct(product: product(), measure: measure, value: value, limit: limit)
  }
}
