package import Tensors

/// Rows arrive that other ranks' ``DispatchStart`` has sent: x `[R, D]`, and as a further output weights `[R, K]`.
///
/// Codes that arrive are the output as they are; who reads numbers has them decoded.
/// Backward sends the gradients of both back. Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2; specification §5.3.
package enum DispatchFinish: Operation {
  package struct Inputs {
    package let underWay: Variable
    package let route: any ExpertRoute
    /// Of the codes that arrive; nil where x arrives as it is.
    package let codes: ScaleSettings?

    package init(underWay: Variable, route: any ExpertRoute, codes: ScaleSettings?) {
      (self.underWay, self.route, self.codes) = (underWay, route, codes)
    }
  }

  package struct Saved {
    package let weights: Variable
    fileprivate let codes: QuantizedTensor?
  }

  package static let name = "dispatch finish"
  package static var sendsBackward: Bool { true }

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.underWay] }

  package static func furtherOutputs(_ saved: Saved) -> [Variable] { [saved.weights] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: RowsOutput, saved: Saved) {
    let (rows, weights) = inputs.route.finishScatter()
    guard let weights else { preconditionFailure("rows arrived without their weights") }
    switch rows {
    case .numbers(let x): return (.numbers(x), Saved(weights: Variable(weights), codes: nil))
    case .codes(let x):
      guard let scales = inputs.codes else {
        preconditionFailure("codes arrived where numbers were expected")
      }
      return (
        .coded(CodedRows(codes: x, scales: scales, numbers: nil)),
        Saved(weights: Variable(weights), codes: x)
      )
    }
  }

  package static func outputAgain(_: Inputs, _ saved: Saved) -> Tensor {
    guard let codes = saved.codes else { preconditionFailure("rows that arrived as numbers were forgotten") }
    return codes.dequantized(to: .bfloat16)
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
