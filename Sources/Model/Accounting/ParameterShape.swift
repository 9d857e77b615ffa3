package import Autograd
package import Tensors

/// A parameter as a rank would make it, without making it: what ``Parameter`` holds follows from its shape alone.
package struct ParameterShape: Sendable, Hashable {
  /// What operations read.
  package enum Use: Sendable {
    /// Rows, or a product, in the compute type; no panels are kept.
    case rows
    /// A matrix of products, of which panels may be kept.
    case product
    /// The float32 master itself: norm gains and routers.
    case master
  }

  package let shape: [Int]
  package let use: Use
  /// How its products read codes; nil where they read numbers.
  package let float8: Float8Settings?
  /// The rows of each matrix, which a block of codes does not straddle.
  package let period: Int
  package let isOfExperts: Bool

  package var count: Int { shape.reduce(1, *) }

  /// Bytes of the E4M3 codes and their scales; 0 where none are read.
  package var codeBytes: Int {
    guard let float8, float8.readsWeightCodes else { return 0 }
    let rows = shape.dropLast().reduce(1, *)
    let scales = QuantizedTensor.scaleShape(shape, .blocks, offsets: [0, rows], period: period)
    return count * DType.float8.byteCount + scales.reduce(1, *) * DType.float32.byteCount
  }

  /// Whether operations read a copy of the master that is rounded to bfloat16.
  /// - Parameter fallsBack: whether layers may leave FP8: their matrices have numbers instead of codes then.
  package func hasRoundedCopy(_ compute: DType, fallsBack: Bool = false) -> Bool {
    compute != .float32 && use != .master && (float8?.readsWeightNumbers ?? true || fallsBack)
  }
}

extension ParameterShape {
  /// The parameters of a model by segment, in the order of ``DeepSeek/segments`` and ``DeepSeek/parameters``.
  ///
  /// - Parameters:
  ///   - float8: which matrices are multiplied in FP8; nil for none.
  ///   - expertRanks: ranks that share the experts of a layer.
  package static func segments(
    of model: ModelConfiguration, float8: Float8Policy? = nil, expertRanks: Int = 1
  ) -> [[ParameterShape]] {
    let writer = ParameterShapes(model: model, float8: float8, experts: model.nRoutedExperts / expertRanks)
    let (d, layers) = (model.hiddenSize, model.numHiddenLayers)
    let embedding = writer.array([model.vocabSize, d], .rows)
    let head = [writer.gain(d), writer.array([model.vocabSize, d], .product)]
    let modules = (0..<model.numNextnPredictLayers).map { writer.module(layer: layers + $0) }
    return [[embedding]] + (0..<layers).map(writer.block) + [head] + modules
  }
}

/// Lists the parameters of a model's parts as ``ParameterFactory`` makes them.
private struct ParameterShapes {
  let model: ModelConfiguration
  let float8: Float8Policy?
  /// Of a layer, on one rank.
  let experts: Int

  func array(_ shape: [Int], _ use: ParameterShape.Use) -> ParameterShape {
    ParameterShape(
      shape: shape, use: use, float8: nil, period: shape.dropLast().reduce(1, *), isOfExperts: false)
  }

  func gain(_ width: Int) -> ParameterShape { array([width], .master) }

  /// A matrix of products; of as many experts as `experts` says.
  private func matrix(
    _ rows: Int, _ columns: Int, _ group: Float8Policy.MatrixGroup, _ layer: Int, period: Int? = nil,
    experts: Int? = nil
  ) -> ParameterShape {
    ParameterShape(
      shape: (experts.map { [$0] } ?? []) + [rows, columns], use: .product,
      float8: float8?.settings(for: group, layer: layer, of: model.numHiddenLayers), period: period ?? rows,
      isOfExperts: experts != nil)
  }

  func block(layer: Int) -> [ParameterShape] {
    let d = model.hiddenSize
    let norm = gain(d)
    return [norm] + attention(layer) + [norm]
      + (model.isMixtureOfExperts(layer: layer)
        ? mixtureOfExperts(layer) : feedForward(model.intermediateSize, .dense, layer))
  }

  func module(layer: Int) -> [ParameterShape] {
    let d = model.hiddenSize
    return [gain(d), gain(d), matrix(d, 2 * d, .mtpProjection, layer)] + block(layer: layer) + [gain(d)]
  }

  private func attention(_ layer: Int) -> [ParameterShape] {
    let (c, d, heads) = (model, model.hiddenSize, model.numAttentionHeads)
    let width = heads * c.qkHeadDim
    let query =
      c.qLoraRank.map { rank in
        [matrix(rank, d, .attention, layer), gain(rank), matrix(width, rank, .attention, layer)]
      } ?? [matrix(width, d, .attention, layer)]
    return query + [
      matrix(c.kvLoraRank + c.qkRopeHeadDim, d, .attention, layer), gain(c.kvLoraRank),
      matrix(heads * (c.qkNopeHeadDim + c.vHeadDim), c.kvLoraRank, .attention, layer),
      matrix(d, heads * c.vHeadDim, .attention, layer),
    ]
  }

  private func feedForward(
    _ inner: Int, _ group: Float8Policy.MatrixGroup, _ layer: Int, experts: Int? = nil
  ) -> [ParameterShape] {
    let d = model.hiddenSize
    let period = ParameterFactory.gateUpPeriod(inner)
    return [
      matrix(2 * inner, d, group, layer, period: period, experts: experts),
      matrix(d, inner, group, layer, experts: experts),
    ]
  }

  private func mixtureOfExperts(_ layer: Int) -> [ParameterShape] {
    let inner = model.moeIntermediateSize
    let shared =
      model.nSharedExperts == 0 ? [] : feedForward(model.nSharedExperts * inner, .sharedExperts, layer)
    return [array([model.nRoutedExperts, model.hiddenSize], .master)]
      + feedForward(inner, .routedExperts, layer, experts: experts) + shared
  }
}
