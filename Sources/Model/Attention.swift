internal import Autograd
internal import Tensors

/// Multi-head latent attention, with or without query compression.
///
/// `cq = norm(x Wqaᵀ), q = cq Wqbᵀ` (or `q = x Wqᵀ`); `[ckv | kr] = x Wkvaᵀ, kv = norm(ckv) Wkvbᵀ`; then
/// ``LatentAttention`` and `y = o Woᵀ`. `x [B·S, D] → y [B·S, D]`.
/// Source: DeepSeek-V3, arXiv:2412.19437, equations 1 to 11.
package struct Attention {
  private enum Query {
    case direct(Parameter)
    case compressed(down: Parameter, norm: Parameter, up: Parameter)
  }

  private let query: Query
  private let keyValueDown, keyValueNorm, keyValueUp, output: Parameter
  private let configuration: ModelConfiguration
  private let layer: Int
  /// `rms_norm_eps` is not for the norms of the latents: HF and the released inference code fix theirs.
  private static let latentEpsilon: Float = 1e-6

  init(_ configuration: ModelConfiguration, layer: Int, _ factory: ParameterFactory, prefix: String) {
    let (c, name) = (configuration, prefix + ".self_attn.")
    let (d, heads) = (c.hiddenSize, c.numAttentionHeads)
    if let rank = c.qLoraRank {
      query = .compressed(
        down: factory.matrix(name + "q_a_proj", [rank, d]), norm: factory.gain(name + "q_a_layernorm", rank),
        up: factory.matrix(name + "q_b_proj", [heads * c.qkHeadDim, rank]))
    } else {
      query = .direct(factory.matrix(name + "q_proj", [heads * c.qkHeadDim, d]))
    }
    keyValueDown = factory.matrix(name + "kv_a_proj_with_mqa", [c.kvLoraRank + c.qkRopeHeadDim, d])
    keyValueNorm = factory.gain(name + "kv_a_layernorm", c.kvLoraRank)
    keyValueUp = factory.matrix(name + "kv_b_proj", [heads * (c.qkNopeHeadDim + c.vHeadDim), c.kvLoraRank])
    output = factory.matrix(name + "o_proj", [d, heads * c.vHeadDim])
    (self.configuration, self.layer) = (configuration, layer)
  }

  func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    let (tape, c) = (context.tape, configuration)
    let q = queries(x, context)
    let compressed = tape.apply(Linear.self, (x, keyValueDown)).output
    let (latent, cut) = tape.apply(Split.self, (compressed, c.kvLoraRank))
    var kr = cut.rest
    let normed = tape.apply(RMSNorm.self, (latent, keyValueNorm, Self.latentEpsilon)).output
    var kv = tape.apply(Linear.self, (normed, keyValueUp)).output
    var keys = context.length
    if let cache = context.cache {
      let all = cache.append(layer: layer, kv: kv.value, kr: kr.value)
      (kv, kr, keys) = (Variable(all.kv), Variable(all.kr), all.kv.rows)
    }
    let inputs = LatentAttention.Inputs(
      q: q, kv: kv, kr: kr, shape: shape(context, keys), table: context.table,
      documents: context.documents)
    let o = tape.apply(LatentAttention.self, inputs).output
    context.release(.norms, normed)
    context.release(.upProjections, q, kv)
    return tape.apply(Linear.self, (o, output)).output
  }

  private func queries(_ x: Variable, _ context: ForwardContext) -> Variable {
    let tape = context.tape
    switch query {
    case .direct(let weight): return tape.apply(Linear.self, (x, weight)).output
    case .compressed(let down, let norm, let up):
      let latent = tape.apply(Linear.self, (x, down)).output
      let normed = tape.apply(RMSNorm.self, (latent, norm, Self.latentEpsilon)).output
      let q = tape.apply(Linear.self, (normed, up)).output
      context.release(.norms, normed)
      return q
    }
  }

  private func shape(_ context: ForwardContext, _ keys: Int) -> AttentionShape {
    let c = configuration
    return AttentionShape(
      sequences: context.sequences, queries: context.length, keys: keys, heads: c.numAttentionHeads,
      nope: c.qkNopeHeadDim, rope: c.qkRopeHeadDim, value: c.vHeadDim, scale: Float(c.softmaxScale),
      interleaved: c.ropeInterleave)
  }
}
