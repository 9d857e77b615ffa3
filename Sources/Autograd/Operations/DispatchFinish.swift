package import Tensors

/// Rows arrive that other ranks' ``DispatchStart`` has sent: x `[R, D]`, and as a further output weights `[R, K]`.
///
/// Backward sends the gradients of both back. Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2; specification §5.3.
package enum DispatchFinish: Operation {
  package struct Inputs {
    package let underWay: Variable
    package let route: any ExpertRoute

    package init(underWay: Variable, route: any ExpertRoute) {
      (self.underWay, self.route) = (underWay, route)
    }
  }

  package struct Saved {
    package let weights: Variable
  }

  package static let name = "dispatch finish"
  package static var isRecomputable: Bool { false }
  package static var sendsBackward: Bool { true }

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.underWay] }

  package static func furtherOutputs(_ saved: Saved) -> [Variable] { [saved.weights] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Saved) {
    let (rows, weights) = inputs.route.finishScatter()
    guard let weights else { preconditionFailure("rows arrived without their weights") }
    return (rows.numbers, Saved(weights: Variable(weights)))
  }

  package static func inputGradient(
    _ dx: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Void) {
    let weights = saved.weights
    let dweights = weights.takeGradient() ?? .zeros(weights.value.shape, on: dx.device)
    inputs.route.startGather(dx, weights: dweights)
    return ([.underWay(on: dx.device)], ())
  }
}
