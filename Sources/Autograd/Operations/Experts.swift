package import Tensors

/// The routed experts: `y_t = Σ_k w_tk · FFN_{i_tk}(x_t)`, `FFN(x) = W_down (silu(W_gate x) · W_up x)`.
///
/// `x [T, D]`, weights `[T, K]`, `W_gate_up [E, 2I, D]`, `W_down [E, D, I]`, `y [T, D]`. The weight enters before the
/// down projection, so y is an unweighted sum and dL/dw is local to the expert; no token is ever dropped. Kept for
/// backward: the gate and up projections of each row; SwiGLU is recomputed.
/// Source: DeepSeek-V3, arXiv:2412.19437, equation 12; specification §1.8, §3.9.
package enum Experts: Operation {
  package struct Inputs {
    package let x, weights: Variable
    package let plan: RoutingPlan
    package let gateUp, down: Parameter

    package init(x: Variable, weights: Variable, plan: RoutingPlan, gateUp: Parameter, down: Parameter) {
      (self.x, self.weights, self.plan, self.gateUp, self.down) = (x, weights, plan, gateUp, down)
    }

    /// The weight of each row, in the order of the experts.
    var rowWeights: Tensor {
      gatherRows(weights.value.reshaped([weights.value.count, 1]), plan.slots).reshaped([plan.slots.count])
    }

    /// Gradients of the weights `[T, K]` from those of the rows.
    func weightGradients(_ dRows: Tensor) -> Tensor {
      let flat = plan.positions.reshaped([plan.positions.count])
      return gatherRows(dRows.reshaped([dRows.count, 1]), flat).reshaped(weights.value.shape)
    }
  }

  /// Of R = T·K rows: h `[R, 2I]`.
  package typealias Saved = Tensor
  /// `dh [R, 2I]`, `a [R, I]`.
  package typealias Carried = (dh: Tensor, a: Tensor)
  package static let name = "experts"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x, inputs.weights] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Saved) {
    let plan = inputs.plan
    let (h, a) = groupedSwiGLU(
      inputs.x.value, gathering: plan.tokens, inputs.gateUp.value, weight: inputs.rowWeights,
      offsets: plan.offsets, packed: inputs.gateUp.packed)
    let yRows = groupedMatmul(
      a, inputs.down.value, .nt, offsets: plan.offsets, packed: inputs.down.packed)
    return (plan.sums(yRows), h)
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ h: Saved
  ) -> (gradients: [Tensor], carried: Carried) {
    let plan = inputs.plan
    let (dh, dweight, a) = groupedSwiGLUGradient(
      dy, gathering: plan.tokens, inputs.down.value, h: h, weight: inputs.rowWeights, offsets: plan.offsets,
      packed: inputs.down.packed)
    let dxRows = groupedMatmul(
      dh, inputs.gateUp.value, .nn, offsets: plan.offsets, packed: inputs.gateUp.packed)
    return ([plan.sums(dxRows), inputs.weightGradients(dweight)], (dh, a))
  }

  package static func weightGradient(_ dy: Tensor, _ inputs: Inputs, _ h: Saved, _ carried: Carried) {
    addWeightGradients(dy, inputs, dh: carried.dh, a: carried.a)
  }

  /// `dW_down[e] += dy_eᵀ a_e`, `dW_gate_up[e] += dh_eᵀ x_e`
  static func addWeightGradients(_ dy: Tensor, _ inputs: Inputs, dh: Tensor, a: Tensor) {
    let plan = inputs.plan
    groupedWeightGradient(
      dy, a, gathering: (plan.tokens, nil), offsets: plan.offsets,
      into: inputs.down.gradientSums.takeTarget())
    groupedWeightGradient(
      dh, inputs.x.value, gathering: (nil, plan.tokens), offsets: plan.offsets,
      into: inputs.gateUp.gradientSums.takeTarget())
  }
}

extension RoutingPlan {
  /// What the experts of each token have made, summed: `[T, D]` from `[R, D]`, where other ranks can read it.
  func sums(_ rows: Tensor) -> Tensor { rows.device.lending { combineRows(rows, positions: positions) } }
}
