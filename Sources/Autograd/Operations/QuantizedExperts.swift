package import Tensors

/// ``Experts`` of E4M3 codes: what tokens bring, both weights, SwiGLU's output, and all gradients that enter a product.
///
/// x and dy in 1 × 128 tiles with power-of-two scales, as they travel; along the rows of each expert for Wgrad, where
/// the last tile of an expert is short (128 rows with zeros, of which none are stored). Kept for backward: the codes of
/// x and of SwiGLU's input. Sums in float32. Source: DeepSeek-V3, arXiv:2412.19437, §3.3.3; specification §3.9.
package enum QuantizedExperts: Operation {
  package struct Inputs {
    package let experts: Experts.Inputs
    package let settings: Float8Settings
    /// Counts and checks, on some steps.
    package let monitor: Float8Monitor?
    /// What was quantized, and counted, where it left for here: x, dy.
    package let isCountedElsewhere: (x: Bool, dy: Bool)

    package init(
      _ experts: Experts.Inputs, _ settings: Float8Settings, monitor: Float8Monitor? = nil,
      isCountedElsewhere: (x: Bool, dy: Bool) = (false, false)
    ) {
      (self.experts, self.settings, self.monitor) = (experts, settings, monitor)
      self.isCountedElsewhere = isCountedElsewhere
    }

    fileprivate func statistics(
      _ weight: Parameter, _ role: Float8Monitor.Role, _ tiling: QuantizedTensor.Tiling
    ) -> QuantizationStatistics? { monitor?.statistics(weight, role, tiling) }

    fileprivate func uses(_ gemm: Float8Settings.GEMM) -> Bool { settings.gemms.contains(gemm) }
  }

  package struct Saved {
    /// `[T, D]`; nil where Wgrad reads numbers.
    fileprivate let x: QuantizedTensor?
    /// `[R, 2I]`
    fileprivate let h: Operand
  }

  /// What Wgrad reads beside x: `dy [R, D]`, `a [R, I]`, `dh [R, 2I]`.
  package enum Carried {
    /// In 128 × 1 tiles along the rows of each expert.
    case codes(dy: QuantizedTensor, a: QuantizedTensor, dh: QuantizedTensor)
    /// dy is where it was.
    case numbers(a: Tensor, dh: Tensor)
  }

  package static let name = "experts FP8"

  package static func variables(_ inputs: Inputs) -> [Variable] { Experts.variables(inputs.experts) }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Saved) {
    let (e, s) = (inputs.experts, inputs.settings)
    let plan = e.plan
    let keepsX = recording && inputs.uses(.wgrad)
    let keepsH = recording && s.keepsSwiGLUInputAsCodes
    let counters = inputs.isCountedElsewhere.x ? nil : inputs.statistics(e.gateUp, .activation, .rows)
    let x = inputs.uses(.fprop) || keepsX ? e.x.codes(s.dispatched, statistics: counters) : nil
    let kept = keepsX ? x : nil
    guard let x, inputs.uses(.fprop) else {
      let (h, a) = groupedSwiGLU(
        e.x.value, gathering: plan.tokens, e.gateUp.value, weight: e.rowWeights, offsets: plan.offsets)
      let y = groupedMatmul(a, e.down.value, .nt, offsets: plan.offsets)
      let saved: Operand = keepsH ? .codes(quantizeRows(h, s.activations)) : .numbers(h)
      return (plan.sums(y), Saved(x: kept, h: saved))
    }
    let (h, a) = groupedSwiGLU(
      x, gathering: plan.tokens, e.gateUp.codes, weight: e.rowWeights, offsets: plan.offsets, s.activations,
      keepsCodes: keepsH, statistics: inputs.statistics(e.down, .activation, .rows))
    let y = groupedMatmul(a, e.down.codes, .nt, offsets: plan.offsets)
    return (plan.sums(y), Saved(x: kept, h: h))
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Carried) {
    let (e, s) = (inputs.experts, inputs.settings)
    let plan = e.plan
    let count = inputs.statistics
    let counters = inputs.isCountedElsewhere.dy ? nil : count(e.down, .gradient, .rows)
    let dyCodes =
      inputs.uses(.dgrad) || inputs.uses(.wgrad)
      ? quantizeRows(dy, s.dispatchedGradients, statistics: counters) : nil
    let (dh, dweight, a) =
      if let dyCodes, inputs.uses(.dgrad) {
        groupedSwiGLUGradient(
          dyCodes, gathering: plan.tokens, e.down.codes, h: saved.h, weight: e.rowWeights,
          offsets: plan.offsets)
      } else {
        groupedSwiGLUGradient(
          dy, gathering: plan.tokens, e.down.value, h: saved.h.numbers, weight: e.rowWeights,
          offsets: plan.offsets)
      }
    let (dhRows, dhColumns) = s.codes(ofGradient: dh, offsets: plan.offsets) {
      count(e.gateUp, .gradient, $0)
    }
    let dx =
      dhRows.map { groupedMatmul($0, e.gateUp.codes, .nn, offsets: plan.offsets) }
      ?? groupedMatmul(dh, e.gateUp.value, .nn, offsets: plan.offsets)
    inputs.monitor?.check(e.gateUp) { ShadowOperands(gateUp: inputs, dh: dh) }
    inputs.monitor?.check(e.down) { ShadowOperands(down: inputs, a: a, dy: dy) }
    let carried =
      if let dyCodes, let dhColumns {
        codesAlongTokens(inputs, dy: dyCodes, a: a, dh: dhColumns)
      } else {
        Carried.numbers(a: a, dh: dh)
      }
    return ([plan.sums(dx), e.weightGradients(dweight)], carried)
  }

  private static func codesAlongTokens(
    _ inputs: Inputs, dy: QuantizedTensor, a: Tensor, dh: QuantizedTensor
  ) -> Carried {
    let (e, s) = (inputs.experts, inputs.settings)
    return .codes(
      dy: requantizeColumns(
        dy, offsets: e.plan.offsets, gathering: e.plan.tokens, s.dispatchedGradients,
        statistics: inputs.statistics(e.down, .gradient, .columns)),
      a: quantizeColumns(
        a, offsets: e.plan.offsets, s.activations,
        statistics: inputs.statistics(e.down, .activation, .columns)),
      dh: dh)
  }

  /// `dW_down[e] += dy_eᵀ a_e`, `dW_gate_up[e] += dh_eᵀ x_e`
  package static func weightGradient(_ dy: Tensor, _ inputs: Inputs, _ saved: Saved, _ carried: Carried) {
    let e = inputs.experts
    switch carried {
    case .numbers(let a, let dh): Experts.addWeightGradients(dy, e, dh: dh, a: a)
    case .codes(let dy, let a, let dh):
      guard let x = saved.x else { preconditionFailure("codes of x were not kept") }
      groupedWeightGradient(dy, a, offsets: e.plan.offsets, into: e.down.gradientSums.takeTarget())
      groupedWeightGradient(
        dh,
        requantizeColumns(
          x, offsets: e.plan.offsets, gathering: e.plan.tokens, inputs.settings.dispatched,
          statistics: inputs.statistics(e.gateUp, .activation, .columns)),
        offsets: e.plan.offsets, into: e.gateUp.gradientSums.takeTarget())
    }
  }
}
