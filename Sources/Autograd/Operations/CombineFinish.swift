package import Tensors

/// The experts' results arrive that other ranks' ``CombineStart`` has sent: `y_t = Σ_ranks y`, `[T, D]`, in float32 and
/// in the order of the ranks.
///
/// Backward sends dy to the same ranks; in FP8 as codes. It does not read y, which may be forgotten once it was added
/// to the residual stream: nobody has it sent again. Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2.
package enum CombineFinish: Operation {
  package struct Inputs {
    package let underWay: Variable
    package let route: any ExpertRoute
    /// Of the codes that dy travels as; nil where it travels as it is.
    package let codes: ScaleSettings?
    /// Counts what quantizing does, on some steps.
    package let statistics: QuantizationStatistics?

    package init(
      underWay: Variable, route: any ExpertRoute, codes: ScaleSettings?,
      statistics: QuantizationStatistics? = nil
    ) {
      (self.underWay, self.route, self.codes, self.statistics) = (underWay, route, codes, statistics)
    }
  }

  package static let name = "combine finish"
  package static var sendsBackward: Bool { true }

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.underWay] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    (inputs.route.finishGather().rows, ())
  }

  package static func outputAgain(_: Inputs, _: Void) -> Tensor {
    preconditionFailure("what experts of other ranks have made was forgotten, and is read")
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _: Void
  ) -> (gradients: [Tensor], carried: Void) {
    let rows: Operand =
      inputs.codes.map { codes in
        dy.device.lending(if: inputs.route.isReadInPlace) {
          .codes(quantizeRows(dy, codes, statistics: inputs.statistics))
        }
      } ?? .numbers(dy)
    inputs.route.startScatter(rows, weights: nil)
    return ([.underWay(on: dy.device)], ())
  }
}
