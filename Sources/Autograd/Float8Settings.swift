package import Tensors

/// How the operations of a layer use E4M3: what is quantized, and how its scales follow.
///
/// Source of the defaults: DeepSeek-V3, arXiv:2412.19437, §3.3; specification §3.
package struct Float8Settings: Sendable, Hashable {
  /// Which products read codes; the others read bfloat16.
  package var gemms: Set<GEMM> = Set(GEMM.allCases)
  package var weights = ScaleSettings()
  /// What enters a matrix of attention or of a dense layer.
  package var activations = ScaleSettings()
  /// What a token's experts read, and the gradient that goes back to them: it travels between ranks.
  package var dispatched = ScaleSettings(powerOfTwo: true)
  /// Gradients that enter a matrix.
  package var gradients = ScaleSettings(amaxFloor: Self.gradientFloor)
  /// Gradients that are dispatched to experts.
  package var dispatchedGradients = ScaleSettings(powerOfTwo: true, amaxFloor: Self.gradientFloor)
  /// Whether the input of SwiGLU is kept for backward as codes.
  package var keepsSwiGLUInputAsCodes = true
  /// Whether the output of attention is kept for backward in E5M6.
  package var packsAttentionOutput = true

  /// The gradient of a mean over a batch shrinks with the batch: a floor that suits activations would flush it.
  package static let gradientFloor: Float = 1e-30

  package init() {}

  /// `y = x Wᵀ`, `dx = dy W`, `dW = dyᵀ x`.
  package enum GEMM: String, Sendable, CaseIterable { case fprop, dgrad, wgrad }

  /// Whether the codes of weights are read at all, and whether their bfloat16 numbers are.
  package var readsWeightCodes: Bool { gemms.contains(.fprop) || gemms.contains(.dgrad) }
  package var readsWeightNumbers: Bool { !gemms.isSuperset(of: [.fprop, .dgrad]) }
}

extension Float8Settings {
  /// A gradient as what Dgrad reads (rows) and what Wgrad reads (columns), where that is codes.
  /// - Parameters:
  ///   - offsets: of the columns; nil for one segment.
  ///   - statistics: what counts each of the two.
  func codes(
    ofGradient dy: Tensor, offsets: [Int]? = nil,
    statistics: (QuantizedTensor.Tiling) -> QuantizationStatistics?
  ) -> (rows: QuantizedTensor?, columns: QuantizedTensor?) {
    switch (gemms.contains(.dgrad), gemms.contains(.wgrad)) {
    case (true, true):
      let (rows, columns) = quantizeRowsAndColumns(
        dy, offsets: offsets, gradients, statistics: (statistics(.rows), statistics(.columns)))
      return (rows, columns)
    case (true, false): return (quantizeRows(dy, gradients, statistics: statistics(.rows)), nil)
    case (false, true):
      return (nil, quantizeColumns(dy, offsets: offsets, gradients, statistics: statistics(.columns)))
    case (false, false): return (nil, nil)
    }
  }
}
