internal import Autograd
internal import Tensors

/// One transformer block, pre-norm: `x += Attention(norm(x)); x += FFN(norm(x))`.
///
/// The last addition of a block is done by the norm that comes next, in the next block or after the last one.
package struct Block {
  private enum FeedForwardPart {
    case dense(FeedForward)
    case experts(MixtureOfExperts)

    /// Whether codes of the input are what backward reads.
    var keepsCodes: Bool {
      switch self {
      case .dense(let dense): dense.keepsCodes
      case .experts(let experts): experts.keepsCodes
      }
    }

    /// How the input is written.
    func coding(_ context: ForwardContext) -> RowCoding? {
      switch self {
      case .dense(let dense): dense.coding(context)
      case .experts(let experts): experts.coding(context)
      }
    }
  }

  private let attention: Attention
  private let attentionNorm, feedForwardNorm: Parameter
  private let feedForward: FeedForwardPart
  private let epsilon: Float
  private let layer: Int

  init(_ configuration: ModelConfiguration, layer: Int, _ factory: ParameterFactory, prefix: String) {
    let c = configuration
    attentionNorm = factory.gain(prefix + ".input_layernorm", c.hiddenSize)
    attention = Attention(c, layer: layer, factory, prefix: prefix)
    feedForwardNorm = factory.gain(prefix + ".post_attention_layernorm", c.hiddenSize)
    feedForward =
      c.isMixtureOfExperts(layer: layer)
      ? .experts(MixtureOfExperts(c, layer: layer, factory, prefix: prefix))
      : .dense(
        FeedForward(
          inner: c.intermediateSize, width: c.hiddenSize, factory, prefix: prefix + ".mlp",
          factory.float8(.dense, layer: layer)))
    (epsilon, self.layer) = (c.rmsNormEps, layer)
  }

  /// The layer's experts, where it has any.
  package var experts: MixtureOfExperts? {
    if case .experts(let experts) = feedForward { experts } else { nil }
  }

  func callAsFunction(_ stream: inout ResidualStream, _ context: ForwardContext) {
    let attentionInput = stream.normalized(attentionNorm, epsilon, context, coding: attention.coding(context))
    let attended = attention(attentionInput, context)
    context.observe?("attn_out.\(layer)", attended.value)
    context.release(.norms, attentionInput, hasCodes: attention.keepsCodes)
    stream.add(attended)
    let input = stream.normalized(
      feedForwardNorm, epsilon, context, coding: feedForward.coding(context),
      travels: experts != nil && context.exchange?.isReadInPlace == true)
    let fed =
      switch feedForward {
      case .dense(let dense): [dense(input, context)]
      case .experts(let experts): experts(input, context)
      }
    context.observe?("mlp_out.\(layer)", total(fed.map(\.value)))
    context.release(.norms, input, hasCodes: feedForward.keepsCodes)
    for branch in fed { stream.add(branch) }
    context.observe?("layer_out.\(layer)", stream.value)
  }
}
