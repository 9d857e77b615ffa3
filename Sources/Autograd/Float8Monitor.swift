package import Tensors

/// Watches the FP8 matrices of a model during one step: what quantizing did to their operands, and how far one product is
/// from that of the numbers.
///
/// Operations that are given none pay nothing. Nothing that is trained with depends on it.
package final class Float8Monitor {
  package enum Role: String, Sendable, CaseIterable { case activation, weight, gradient }

  /// One of the operands that a matrix has in its products.
  ///
  /// Rows are the tiles of x in Fprop and of dy in Dgrad, columns those of both in Wgrad, blocks those of W.
  package struct Operand: Hashable, Sendable {
    /// The parameter's name.
    package let matrix: String
    package let role: Role
    package let tiling: QuantizedTensor.Tiling

    package init(matrix: String, role: Role, tiling: QuantizedTensor.Tiling) {
      (self.matrix, self.role, self.tiling) = (matrix, role, tiling)
    }
  }

  /// A product of a matrix that is done once more.
  package struct Sample: Hashable, Sendable {
    /// The parameter's name.
    package let matrix: String
    package let gemm: Float8Settings.GEMM

    package init(matrix: String, gemm: Float8Settings.GEMM) { (self.matrix, self.gemm) = (matrix, gemm) }
  }

  package let sample: Sample?
  /// `‖y_codes − y‖ / ‖y‖` (Frobenius) of the sample, in the first micro-batch that had rows for it; nil until then.
  package private(set) var shadowError: Double?
  /// What quantizers saw, over all micro-batches.
  package private(set) var statistics: [Operand: QuantizationStatistics] = [:]

  /// - Parameter sample: the product that is checked; nil for none.
  package init(sample: Sample? = nil) { self.sample = sample }

  /// The counters of an operand.
  package func statistics(
    _ weight: Parameter, _ role: Role, _ tiling: QuantizedTensor.Tiling
  ) -> QuantizationStatistics {
    let operand = Operand(matrix: weight.name, role: role, tiling: tiling)
    let counters = statistics[operand] ?? QuantizationStatistics()
    statistics[operand] = counters
    return counters
  }

  /// Does the product again where it is the sample.
  /// - Parameter operands: asked for the sample only; nil where no rows are there.
  func check(_ weight: Parameter, _ operands: () -> ShadowOperands?) {
    guard shadowError == nil, let sample, sample.matrix == weight.name else { return }
    shadowError = operands()?.relativeError(sample.gemm)
  }
}

@available(*, unavailable)
extension Float8Monitor: Sendable {}
