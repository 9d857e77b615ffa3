internal import Autograd
internal import Tensors

/// One multi-token-prediction module: `h^k = TRM_k(M_k [norm_e(Emb(t_{i+k})) | norm_h(h^{k-1})])`.
///
/// The embedding comes first, as the released weights need it (the paper's equation 21 reads the other way). Embedding
/// and head are the main model's own. Source: DeepSeek-V3, arXiv:2412.19437, equations 21 to 23; specification §2.1.
package struct MultiTokenPrediction {
  private let embeddingNorm, hiddenNorm, headNorm: Parameter
  private let projection: Projection
  package let block: Block
  private let epsilon: Float

  /// - Parameter depth: k, from 1; the weights have the names of layer L + k − 1.
  init(_ configuration: ModelConfiguration, depth: Int, _ factory: ParameterFactory) {
    let (c, layer) = (configuration, configuration.numHiddenLayers + depth - 1)
    let prefix = "model.layers.\(layer)"
    embeddingNorm = factory.gain(prefix + ".enorm", c.hiddenSize)
    hiddenNorm = factory.gain(prefix + ".hnorm", c.hiddenSize)
    projection = factory.projection(
      prefix + ".eh_proj", [c.hiddenSize, 2 * c.hiddenSize], factory.float8(.mtpProjection, layer: layer))
    block = Block(c, layer: layer, factory, prefix: prefix)
    headNorm = factory.gain(prefix + ".shared_head.norm", c.hiddenSize)
    epsilon = c.rmsNormEps
  }

  /// - Parameters:
  ///   - hidden: `h^{k-1} [T, D]` after its norm.
  ///   - ids: the token k places after each position; 0 where there is none.
  ///   - keeps: false where that token is of another document; nil to read the row as one sequence.
  /// - Returns: `norm_k(h^k)`, what the shared head and the next depth read.
  func callAsFunction(
    _ hidden: Variable, ids: [Int32], keeps: [Bool]?, embedding: Parameter, _ context: ForwardContext
  ) -> Variable {
    let tape = context.tape
    let previous = keeps.map { tape.apply(RowMask.self, (hidden, $0)).output } ?? hidden
    let next = tape.apply(Embedding.self, (ids, embedding)).output
    let e = tape.apply(RMSNorm.self, .init(x: next, gain: embeddingNorm, epsilon: epsilon)).output
    let h = tape.apply(RMSNorm.self, .init(x: previous, gain: hiddenNorm, epsilon: epsilon)).output
    let joined = tape.apply(Concatenation.self, (e, h)).output
    context.release(.norms, e, h)
    var stream = ResidualStream(projection(joined, context))
    if projection.keepsCodes { context.forget(joined) }
    block(&stream, context)
    return stream.normalized(headNorm, epsilon, context)
  }
}
