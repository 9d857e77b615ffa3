package import Tensors

/// What this rank's experts made of rows, `y [R, D]`, leaves for the ranks of the tokens; ``CombineFinish`` is where it
/// arrives. A rank sends one sum for all of a token's experts that it holds.
///
/// Backward waits for dy, which ``CombineFinish`` has sent.
/// Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2; specification §5.3.
package enum CombineStart: Operation {
  package struct Inputs {
    package let y: Variable
    package let route: any ExpertRoute

    package init(y: Variable, route: any ExpertRoute) { (self.y, self.route) = (y, route) }
  }

  package static let name = "combine start"
  package static var isRecomputable: Bool { false }

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.y] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    inputs.route.startGather(inputs.y.value, weights: nil)
    return (.underWay(on: inputs.y.value.device), ())
  }

  package static func inputGradient(
    _: Tensor, _ inputs: Inputs, _: Void
  ) -> (gradients: [Tensor], carried: Void) {
    ([inputs.route.finishScatter().rows.numbers], ())
  }
}
