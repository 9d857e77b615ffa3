package import Tensors

/// A learnable array: the float32 master copy, what operations read, and the gradient.
///
/// One array may hold several tensors of a checkpoint (gate and up projection, all experts): `parts` names them.
package final class Parameter {
  /// A tensor of the checkpoint inside a parameter: `count` consecutive elements.
  package struct Part: Sendable {
    package let name: String
    package let offset: Int
    package let shape: [Int]
    package init(name: String, offset: Int, shape: [Int]) {
      (self.name, self.offset, self.shape) = (name, offset, shape)
    }
    package var count: Int { shape.reduce(1, *) }
  }

  package let name: String
  package let parts: [Part]
  /// float32; the truth that the optimizer updates.
  package let master: Tensor
  /// Whether expert-parallel ranks hold different parts of it, instead of a copy each.
  package let isOfExperts: Bool
  /// How products read codes, for a matrix that was made for it; nil where they read numbers.
  package let declaredFloat8: Float8Settings?
  /// Whether products read numbers nevertheless.
  package private(set) var hasFallenBack = false
  private let compute: DType
  /// The rows of each matrix in the array.
  package let period: Int
  private var numbers: Tensor?
  private var quantized: QuantizedTensor?
  /// What keeps the panels in which products read ``value``; nil where each product packs for itself.
  package let packed: PackedWeights?
  /// float32 sums over the micro-batches of a step: where operations add.
  package let gradientSums: Accumulator
  /// What ``gradientSums`` holds; zeros for a parameter that has received nothing.
  package var gradient: Tensor { gradientSums.sums }

  /// - Parameters:
  ///   - compute: the type of the numbers that operations read.
  ///   - float8: for a matrix that products read as codes.
  ///   - layouts: the products for which panels of the numbers are kept.
  ///   - period: the rows of each matrix in the array; nil for one. Blocks of codes do not straddle them.
  package init(
    name: String, parts: [Part], shape: [Int], compute: DType, float8: Float8Settings? = nil,
    packedFor layouts: [Layout] = [], period: Int? = nil, isOfExperts: Bool = false, on device: Device
  ) {
    precondition(layouts.isEmpty || float8 == nil, "\(name): panels of codes are not kept")
    precondition(
      parts.reduce(0) { $0 + $1.count } == shape.reduce(1, *), "the parts of \(name) do not cover \(shape)")
    (self.name, self.parts, self.isOfExperts) = (name, parts, isOfExperts)
    master = Tensor(shape, on: device)
    gradientSums = Accumulator(shape, on: device)
    (declaredFloat8, self.compute, self.period) = (float8, compute, period ?? master.rows)
    let hasNumbers = float8?.readsWeightNumbers ?? true
    let numbers = !hasNumbers ? nil : compute == .float32 ? master : Tensor(shape, compute, on: device)
    self.numbers = numbers
    packed = layouts.isEmpty ? nil : numbers.map { PackedWeights(of: $0, for: layouts) }
    quantized = float8.flatMap(emptyCodes)
  }

  /// How products read codes now; nil where they read numbers.
  package var float8: Float8Settings? { hasFallenBack ? nil : declaredFloat8 }

  /// What operations read: the master itself, or its copy in the compute type.
  package var value: Tensor {
    guard let numbers else { preconditionFailure("\(name) is read as codes only") }
    return numbers
  }

  /// What products read as codes: 128 × 128 blocks.
  package var codes: QuantizedTensor {
    guard let quantized else { preconditionFailure("\(name) is not read as codes") }
    return quantized
  }

  /// What the optimizer writes new values to: numbers of another type than the master's; nil for nothing.
  package var roundedCopy: Tensor? { numbers?.dtype == .float32 ? nil : numbers }

  /// Brings what operations read up to date with the master copy.
  package func masterDidChange() {
    roundedCopy?.convert(from: master)
    numbersDidChange()
  }

  /// Brings what is made from the numbers up to date with them: codes at once, panels with the next product.
  package func numbersDidChange() {
    packed?.weightDidChange()
    // An optimizer knows no copy that was not there when it was made.
    if hasFallenBack { roundedCopy?.convert(from: master) }
    quantizeMaster()
  }

  /// Counts what becomes of the elements in the codes that products read, which stay as they are.
  package func countCodes(_ monitor: Float8Monitor) {
    if quantized != nil { quantizeMaster(monitor.statistics(self, .weight, .blocks)) }
  }

  private func quantizeMaster(_ statistics: QuantizationStatistics? = nil) {
    guard let float8, let quantized else { return }
    _ = quantizeBlocks(master, period: period, float8.weights, into: quantized, statistics: statistics)
  }

  private func emptyCodes(_ float8: Float8Settings) -> QuantizedTensor? {
    guard float8.readsWeightCodes else { return nil }
    return QuantizedTensor(
      blocks: master.shape, period: period, hasPowerOfTwoScales: float8.weights.powerOfTwo, on: master.device)
  }

  /// Lets products read numbers instead of codes, or codes again; nothing for a matrix that was not made for codes.
  ///
  /// Not between forward and backward of an operation that reads them.
  package func setFallenBack(_ fallsBack: Bool) {
    guard let declaredFloat8, fallsBack != hasFallenBack else { return }
    hasFallenBack = fallsBack
    if fallsBack {
      quantized = nil
      numbers = numbers ?? Tensor(master.shape, compute, on: master.device)
    } else {
      quantized = emptyCodes(declaredFloat8)
      if !declaredFloat8.readsWeightNumbers { numbers = nil }
    }
    masterDidChange()
  }

  /// The master copy of a part.
  package func master(of part: Part) -> Tensor { master.view(at: part.offset, part.shape) }

  /// The gradient of a part.
  package func gradient(of part: Part) -> Tensor { gradient.view(at: part.offset, part.shape) }
}

@available(*, unavailable)
extension Parameter: Sendable {}
