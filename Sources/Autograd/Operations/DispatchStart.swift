package import Tensors

/// Tokens leave for the ranks that hold their experts; ``DispatchFinish`` is where they arrive.
///
/// `x [T, D]`, weights `[T, K]`; the output stands for what is under way. Backward waits for dx and for the gradients of
/// the weights, which ``DispatchFinish`` has sent back. In FP8 x travels as codes with their scales.
/// Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2; specification §5.3.
package enum DispatchStart: Operation {
  package struct Inputs {
    package let x, weights: Variable
    package let route: any ExpertRoute
    /// Of the codes that travel; nil where x travels as it is.
    package let codes: ScaleSettings?
    /// Counts what quantizing does, on some steps.
    package let statistics: QuantizationStatistics?

    package init(
      x: Variable, weights: Variable, route: any ExpertRoute, codes: ScaleSettings?,
      statistics: QuantizationStatistics? = nil
    ) {
      (self.x, self.weights, self.route, self.codes) = (x, weights, route, codes)
      self.statistics = statistics
    }
  }

  package static let name = "dispatch start"
  package static var isRecomputable: Bool { false }

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x, inputs.weights] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    let device = inputs.weights.value.device
    let rows: Operand =
      inputs.codes.map { codes in
        device.lending(if: inputs.route.isReadInPlace) {
          .codes(inputs.x.codes(codes, statistics: inputs.statistics))
        }
      } ?? .numbers(inputs.x.value)
    inputs.route.startScatter(rows, weights: inputs.weights.value)
    return (.underWay(on: device), ())
  }

  package static func inputGradient(
    _: Tensor, _ inputs: Inputs, _: Void
  ) -> (gradients: [Tensor], carried: Void) {
    let (dx, dweights) = inputs.route.finishGather()
    guard let dweights else { preconditionFailure("gradients of x came back without those of the weights") }
    return ([dx, dweights], ())
  }
}

extension Tensor {
  /// What a tape records for rows that travel: it orders the operations, and holds nothing.
  static func underWay(on device: Device) -> Tensor { .zeros([1], on: device) }
}
