package import Tensors

// Shapes: T tokens, K inputs, N outputs.

/// `y = x Wᵀ` of E4M3 codes, with `x [T, K]` in 1 × 128 tiles, `W [N, K]` in 128 × 128 blocks; y bfloat16.
///
/// Dgrad reads the same codes of W, and dy in 1 × 128 tiles; Wgrad reads x and dy in 128 × 1 tiles along the tokens.
/// Sums in float32. Source: DeepSeek-V3, arXiv:2412.19437, §3.3; specification §3.3.
package enum QuantizedLinear: Operation {
  package struct Inputs {
    package let x: Variable
    package let weight: Parameter
    package let settings: Float8Settings
    package let scales: ScaleSettings
    package let keepsCodes: Bool
    /// Counts and checks, on some steps.
    package let monitor: Float8Monitor?

    /// - Parameters:
    ///   - scales: of the codes of x.
    ///   - keepsCodes: whether the codes of x are what backward reads; else x is quantized anew, for which its value is
    ///     kept, or computed again if it was forgotten. Without effect where Wgrad reads numbers.
    package init(
      x: Variable, weight: Parameter, settings: Float8Settings, scales: ScaleSettings,
      keepsCodes: Bool = true, monitor: Float8Monitor? = nil
    ) {
      (self.x, self.weight, self.settings, self.scales) = (x, weight, settings, scales)
      self.keepsCodes = keepsCodes && settings.gemms.contains(.wgrad)
      self.monitor = monitor
    }

    fileprivate func statistics(
      _ role: Float8Monitor.Role, _ tiling: QuantizedTensor.Tiling
    ) -> QuantizationStatistics? { monitor?.statistics(weight, role, tiling) }

    fileprivate func uses(_ gemm: Float8Settings.GEMM) -> Bool { settings.gemms.contains(gemm) }
  }

  /// The codes of x, if kept.
  package typealias Saved = QuantizedTensor?
  /// dy along the tokens.
  package typealias Carried = QuantizedTensor?
  package static let name = "linear FP8"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Saved) {
    let keepsCodes = recording && inputs.keepsCodes
    let codes =
      inputs.uses(.fprop) || keepsCodes
      ? inputs.x.codes(inputs.scales, statistics: inputs.statistics(.activation, .rows)) : nil
    if !keepsCodes { inputs.x.forgetCodes() }
    return (output(codes, inputs), keepsCodes ? codes : nil)
  }

  package static func outputAgain(_ inputs: Inputs, _ saved: Saved) -> Tensor {
    output(saved ?? (inputs.uses(.fprop) ? quantizeRows(inputs.x.value, inputs.scales) : nil), inputs)
  }

  private static func output(_ codes: QuantizedTensor?, _ inputs: Inputs) -> Tensor {
    guard let codes, inputs.uses(.fprop) else { return matmul(inputs.x.value, inputs.weight.value, .nt) }
    return matmul(codes, inputs.weight.codes, .nt)
  }

  /// `dx = dy W`
  package static func inputGradient(
    _ dyTN: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Carried) {
    let scales = inputs.settings.gradients
    let dx =
      inputs.uses(.dgrad)
      ? matmul(
        quantizeRows(dyTN, scales, statistics: inputs.statistics(.gradient, .rows)), inputs.weight.codes, .nn)
      : matmul(dyTN, inputs.weight.value, .nn)
    let dyColumns =
      inputs.uses(.wgrad)
      ? quantizeColumns(dyTN, scales, statistics: inputs.statistics(.gradient, .columns)) : nil
    return ([dx], dyColumns)
  }

  /// `dW += dyᵀ x`
  package static func weightGradient(
    _ dyTN: Tensor, _ inputs: Inputs, _ saved: Saved, _ carried: Carried
  ) {
    inputs.monitor?.check(inputs.weight) { ShadowOperands(dyTN, inputs) }
    guard let dy = carried else {
      matmul(dyTN, inputs.x.value, .tn, into: inputs.weight.gradientSums.takeTarget())
      return
    }
    let statistics = inputs.statistics(.activation, .columns)
    let x =
      saved.map { requantizeColumns($0, inputs.scales, statistics: statistics) }
      ?? quantizeColumns(inputs.x.value, inputs.scales, statistics: statistics)
    matmul(dy, x, .tn, into: inputs.weight.gradientSums.takeTarget())
  }
}
