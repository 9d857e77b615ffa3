package import Tensors

/// The experts' results arrive that other ranks' ``CombineStart`` has sent: `y_t = Σ_ranks y`, `[T, D]`, in float32 and
/// in the order of the ranks.
///
/// Backward sends dy to the same ranks; in FP8 as codes. Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2.
package enum CombineFinish: Operation {
  package struct Inputs {
    package let underWay: Variable
    package let route: any ExpertRoute
    /// Of the codes that dy travels as; nil where it travels as it is.
    package let codes: ScaleSettings?

    package init(underWay: Variable, route: any ExpertRoute, codes: ScaleSettings?) {
      (self.underWay, self.route, self.codes) = (underWay, route, codes)
    }
  }

  package static let name = "combine finish"
  package static var isRecomputable: Bool { false }
  package static var sendsBackward: Bool { true }

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.underWay] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    (inputs.route.finishGather().rows, ())
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _: Void
  ) -> (gradients: [Tensor], carried: Void) {
    inputs.route.startScatter(inputs.codes.map { .codes(quantizeRows(dy, $0)) } ?? .numbers(dy), weights: nil)
    return ([.underWay(on: dy.device)], ())
  }
}
