package import Tensors

/// The router: float32 scores, bias-corrected selection in groups, weights from the raw scores; and the slopes of the
/// balance losses, which reach the router alone.
///
/// `x [T, D]`, gate `[E, D]` float32, bias `[E]` float32 (selection only, no gradient); output: weights `[T, K]`.
/// Source: DeepSeek-V3, arXiv:2412.19437, equations 12 to 20.
package enum Router: Operation {
  package struct Inputs {
    package let x: Variable
    package let gate: Parameter
    package let bias: Tensor
    package let settings: RouterSettings
    package let balance: BalanceLosses

    package init(
      x: Variable, gate: Parameter, bias: Tensor, settings: RouterSettings, balance: BalanceLosses
    ) {
      (self.x, self.gate, self.bias) = (x, gate, bias)
      (self.settings, self.balance) = (settings, balance)
    }
  }

  package struct Saved {
    package let selection: RouterSelection
    package let plan: RoutingPlan
    /// The balance losses of this micro-batch: its share of the mean over the sequences of the global batch.
    package let balanceLoss: Double
    fileprivate let slopes: Tensor?
  }

  package static let name = "router"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Saved) {
    let logits = matmul(inputs.x.value, inputs.gate.master, .nt, output: .float32)
    let selection = route(logits: logits, bias: inputs.bias, inputs.settings)
    let plan = RoutingPlan(selection.indices, experts: inputs.settings.experts)
    let balance = inputs.balance.evaluate(selection, inputs.settings)
    let saved = Saved(
      selection: selection, plan: plan, balanceLoss: balance?.loss ?? 0, slopes: balance?.slopes)
    return (selection.weights, saved)
  }

  /// `dx = dlogits Wg`; the gradient passes through the scores of the selected experts and their sum.
  package static func inputGradient(
    _ dWeights: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Tensor) {
    let dLogits = routeGradient(
      saved.selection, dWeights: dWeights, balance: saved.slopes, inputs.settings)
    let dx = matmul(dLogits, inputs.gate.master, .nn, output: inputs.x.value.dtype)
    return ([dx], dLogits)
  }

  /// `dWg += dlogitsᵀ x`
  package static func weightGradient(
    _ dWeights: Tensor, _ inputs: Inputs, _ saved: Saved, _ dLogits: Tensor
  ) {
    matmul(dLogits, inputs.x.value, .tn, into: inputs.gate.gradientSums.takeTarget())
  }
}
