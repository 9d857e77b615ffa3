internal import Tensors

// Shapes: T rows, K inputs, N outputs.

/// The numbers from which the operands of a matrix' products were quantized, `x [T, K]`, `dy [T, N]`, `W [N, K]`, and how.
///
/// Both products are made anew, with float32 results: those of training have other targets (sums over micro-batches,
/// codes of SwiGLU). Of experts, the one with the most rows stands for all.
struct ShadowOperands {
  /// What backward has of the numbers: where forward kept codes or E5M6 of them, made from these.
  private let x, dy: Tensor
  private let xScales, dyScales: ScaleSettings
  /// Whether tiles along the rows' order are made from codes in tiles along each row, as where those codes are kept.
  private var requantizesX = false
  private var requantizesDY = false
  /// float32, with the rows that a block of codes does not straddle.
  private let weight: Tensor
  private let period: Int
  private let weightScales: ScaleSettings

  init(_ dyTN: Tensor, _ inputs: QuantizedLinear.Inputs) {
    (x, dy, weight) = (inputs.x.value, dyTN, inputs.weight.master)
    (xScales, dyScales) = (inputs.scales, inputs.settings.gradients)
    (requantizesX, period) = (inputs.keepsCodes, inputs.weight.period)
    weightScales = inputs.settings.weights
  }

  /// nil without a row.
  init?(gateUp inputs: QuantizedExperts.Inputs, dh: Tensor) {
    let (e, s) = (inputs.experts, inputs.settings)
    guard let (expert, rows) = Self.busiest(e.plan) else { return nil }
    (x, dy) = (Self.gathered(e.x.value, rows, e.plan), Self.part(dh, rows))
    (xScales, dyScales, requantizesX) = (s.dispatched, s.gradients, true)
    weight = Self.matrix(e.gateUp, expert)
    (period, weightScales) = (e.gateUp.period, s.weights)
  }

  /// nil without a row.
  /// - Parameter a: SwiGLU's output, which backward has computed again.
  init?(down inputs: QuantizedExperts.Inputs, a: Tensor, dy: Tensor) {
    let (e, s) = (inputs.experts, inputs.settings)
    guard let (expert, rows) = Self.busiest(e.plan) else { return nil }
    (x, self.dy) = (Self.part(a, rows), Self.gathered(dy, rows, e.plan))
    (xScales, dyScales, requantizesDY) = (s.activations, s.dispatchedGradients, true)
    weight = Self.matrix(e.down, expert)
    (period, weightScales) = (e.down.period, s.weights)
  }

  /// `‖y_codes − y‖ / ‖y‖`, sums of squares in float64; 0 where both are zero.
  func relativeError(_ gemm: Float8Settings.GEMM) -> Double {
    let (found, exact) = products(gemm)
    let norm = sumOfSquares([exact]).squareRoot()
    exact.scale(by: -1)
    add(found, exact, into: found)
    let error = sumOfSquares([found]).squareRoot()
    return error == 0 ? 0 : error / norm
  }

  private func products(_ gemm: Float8Settings.GEMM) -> (codes: Tensor, numbers: Tensor) {
    switch gemm {
    case .fprop:
      (
        matmul(quantizeRows(x, xScales), weightCodes, .nt, output: .float32),
        matmul(x, weight, .nt, output: .float32)
      )
    case .dgrad:
      (
        matmul(quantizeRows(dy, dyScales), weightCodes, .nn, output: .float32),
        matmul(dy, weight, .nn, output: .float32)
      )
    case .wgrad:
      (
        matmul(
          Self.columns(dy, dyScales, requantizes: requantizesDY),
          Self.columns(x, xScales, requantizes: requantizesX), .tn, output: .float32),
        matmul(dy, x, .tn, output: .float32)
      )
    }
  }

  private var weightCodes: QuantizedTensor { quantizeBlocks(weight, period: period, weightScales) }

  private static func columns(
    _ x: Tensor, _ scales: ScaleSettings, requantizes: Bool
  ) -> QuantizedTensor {
    requantizes ? requantizeColumns(quantizeRows(x, scales), scales) : quantizeColumns(x, scales)
  }

  /// The expert with the most rows, the first of equals.
  private static func busiest(_ plan: RoutingPlan) -> (expert: Int, rows: Range<Int>)? {
    let counts = plan.counts
    guard let most = counts.max(), most > 0, let expert = counts.firstIndex(of: most) else { return nil }
    return (expert, plan.offsets[expert]..<plan.offsets[expert + 1])
  }

  private static func gathered(_ x: Tensor, _ rows: Range<Int>, _ plan: RoutingPlan) -> Tensor {
    gatherRows(x, plan.tokens.view(at: rows.lowerBound, [rows.count]))
  }

  private static func part(_ x: Tensor, _ rows: Range<Int>) -> Tensor {
    x.view(at: rows.lowerBound * x.columns, [rows.count, x.columns])
  }

  private static func matrix(_ weight: Parameter, _ expert: Int) -> Tensor {
    let shape = Array(weight.master.shape.dropFirst())
    return weight.master.view(at: expert * shape.reduce(1, *), shape)
  }
}
