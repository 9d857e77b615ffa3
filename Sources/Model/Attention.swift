internal import Autograd
internal import Tensors

/// Multi-head latent attention, with or without query compression.
///
/// `cq = norm(x Wqaᵀ), q = cq Wqbᵀ` (or `q = x Wqᵀ`); `[ckv | kr] = x Wkvaᵀ, kv = norm(ckv) Wkvbᵀ`; then
/// ``LatentAttention`` and `y = o Woᵀ`. `x [B·S, D] → y [B·S, D]`.
/// Source: DeepSeek-V3, arXiv:2412.19437, equations 1 to 11.
package struct Attention {
  private enum Query {
    case direct(Projection)
    case compressed(down: Projection, norm: Parameter, up: Projection)
  }

  private let query: Query
  private let keyValueDown, keyValueUp, output: Projection
  private let keyValueNorm: Parameter
  private let configuration: ModelConfiguration
  private let layer: Int
  /// `rms_norm_eps` is not for the norms of the latents: HF and the released inference code fix theirs.
  private static let latentEpsilon: Float = 1e-6

  init(_ configuration: ModelConfiguration, layer: Int, _ factory: ParameterFactory, prefix: String) {
    let (c, name) = (configuration, prefix + ".self_attn.")
    let (d, heads) = (c.hiddenSize, c.numAttentionHeads)
    let float8 = factory.float8(.attention, layer: layer)
    if let rank = c.qLoraRank {
      query = .compressed(
        down: factory.projection(name + "q_a_proj", [rank, d], float8),
        norm: factory.gain(name + "q_a_layernorm", rank),
        up: factory.projection(name + "q_b_proj", [heads * c.qkHeadDim, rank], float8))
    } else {
      query = .direct(factory.projection(name + "q_proj", [heads * c.qkHeadDim, d], float8))
    }
    keyValueDown = factory.projection(
      name + "kv_a_proj_with_mqa", [c.kvLoraRank + c.qkRopeHeadDim, d], float8)
    keyValueNorm = factory.gain(name + "kv_a_layernorm", c.kvLoraRank)
    keyValueUp = factory.projection(
      name + "kv_b_proj", [heads * (c.qkNopeHeadDim + c.vHeadDim), c.kvLoraRank], float8)
    output = factory.projection(name + "o_proj", [d, heads * c.vHeadDim], float8)
    (self.configuration, self.layer) = (configuration, layer)
  }

  /// Whether codes of the input are what backward reads.
  var keepsCodes: Bool { keyValueDown.keepsCodes }

  /// How the input is written.
  func coding(_ context: ForwardContext) -> RowCoding? { keyValueDown.coding(context) }

  /// The least amax of a tile of o, where that is kept in E5M6.
  private var packingFloor: Float? {
    output.float8.flatMap { $0.packsAttentionOutput ? $0.activations.amaxFloor : nil }
  }

  func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    let (tape, c) = (context.tape, configuration)
    let q = queries(x, context)
    let compressed = keyValueDown(x, context)
    let (latent, cut) = tape.apply(Split.self, (compressed, c.kvLoraRank))
    context.forget(compressed)
    var kr = cut.rest
    let normed = normalized(latent, keyValueNorm, for: keyValueUp, context)
    var kv = keyValueUp(normed, context)
    var keys = context.length
    if let cache = context.cache {
      let all = cache.append(layer: layer, kv: kv.value, kr: kr.value)
      (kv, kr, keys) = (Variable(all.kv), Variable(all.kr), all.kv.rows)
    }
    let inputs = LatentAttention.Inputs(
      q: q, kv: kv, kr: kr, shape: shape(context, keys), table: context.table,
      documents: context.documents, packingFloor: packingFloor,
      scales: output.coding(context, keepsCodes: false)?.scales)
    let o = tape.apply(LatentAttention.self, inputs).output
    context.release(.norms, normed, hasCodes: keyValueUp.keepsCodes)
    context.release(.upProjections, q, kv)
    // Attention keeps o for its own backward: Wgrad quantizes that, instead of keeping codes too.
    let y = output(o, context, keepsCodes: false)
    if packingFloor != nil { context.forget(o) }
    return y
  }

  private func queries(_ x: Variable, _ context: ForwardContext) -> Variable {
    switch query {
    case .direct(let matrix): return matrix(x, context)
    case .compressed(let down, let norm, let up):
      let latent = down(x, context)
      let normed = normalized(latent, norm, for: up, context)
      let q = up(normed, context)
      context.release(.norms, normed, hasCodes: up.keepsCodes)
      return q
    }
  }

  private func normalized(
    _ latent: Variable, _ gain: Parameter, for reader: Projection, _ context: ForwardContext
  ) -> Variable {
    let inputs = RMSNorm.Inputs(
      x: latent, gain: gain, epsilon: Self.latentEpsilon, coding: reader.coding(context))
    return context.tape.apply(RMSNorm.self, inputs).output
  }

  private func shape(_ context: ForwardContext, _ keys: Int) -> AttentionShape {
    let c = configuration
    return AttentionShape(
      sequences: context.sequences, queries: context.length, keys: keys, heads: c.numAttentionHeads,
      nope: c.qkNopeHeadDim, rope: c.qkRopeHeadDim, value: c.vHeadDim, scale: Float(c.softmaxScale),
      interleaved: c.ropeInterleave)
  }
}
