internal import Checkpoint
internal import Model

/// The weights of a model as files name them, as they follow from its configuration: no model is built.
struct ModelWeights {
  /// Float32, layer by layer; first what is outside of the layers.
  let records: [TensorRecord]

  /// - Parameter multiTokenPrediction: whether the modules beside the main model are listed.
  init(_ c: ModelConfiguration, multiTokenPrediction: Bool = true) {
    let layers = c.numHiddenLayers + (multiTokenPrediction ? c.numNextnPredictLayers : 0)
    let outside: [Entry] = [
      ("model.embed_tokens.weight", [c.vocabSize, c.hiddenSize]), ("model.norm.weight", [c.hiddenSize]),
      ("lm_head.weight", [c.vocabSize, c.hiddenSize]),
    ]
    let inside = (0..<layers).flatMap { layer in
      Self.layer(c, layer).map { (Self.prefix(layer) + $0, $1) }
    }
    records = (outside + inside).map { TensorRecord(name: $0.name, type: .float32, shape: $0.shape) }
  }

  private typealias Entry = (name: String, shape: [Int])

  static func prefix(_ layer: Int) -> String { "model.layers.\(layer)." }

  /// Layers with the weights of multi-token prediction.
  static func moduleLayers(_ c: ModelConfiguration) -> Range<Int> {
    c.numHiddenLayers..<c.numHiddenLayers + c.numNextnPredictLayers
  }

  private static func layer(_ c: ModelConfiguration, _ layer: Int) -> [Entry] {
    let d = c.hiddenSize
    let norms: [Entry] = [("input_layernorm.weight", [d]), ("post_attention_layernorm.weight", [d])]
    let module: [Entry] = [
      ("enorm.weight", [d]), ("hnorm.weight", [d]), ("eh_proj.weight", [d, 2 * d]),
      ("shared_head.norm.weight", [d]),
    ]
    return (layer < c.numHiddenLayers ? [] : module) + norms
      + attention(c).map { ("self_attn.\($0).weight", $1) }
      + feedForward(c, layer).map { ("mlp.\($0)", $1) }
  }

  private static func attention(_ c: ModelConfiguration) -> [Entry] {
    let (d, heads) = (c.hiddenSize, c.numAttentionHeads)
    let queries = heads * c.qkHeadDim
    let query: [Entry] =
      c.qLoraRank.map { [("q_a_proj", [$0, d]), ("q_a_layernorm", [$0]), ("q_b_proj", [queries, $0])] }
      ?? [("q_proj", [queries, d])]
    return query + [
      ("kv_a_proj_with_mqa", [c.kvLoraRank + c.qkRopeHeadDim, d]), ("kv_a_layernorm", [c.kvLoraRank]),
      ("kv_b_proj", [heads * (c.qkNopeHeadDim + c.vHeadDim), c.kvLoraRank]),
      ("o_proj", [d, heads * c.vHeadDim]),
    ]
  }

  private static func feedForward(_ c: ModelConfiguration, _ layer: Int) -> [Entry] {
    let d = c.hiddenSize
    func swiglu(_ prefix: String, _ inner: Int) -> [Entry] {
      [
        ("\(prefix)gate_proj.weight", [inner, d]), ("\(prefix)up_proj.weight", [inner, d]),
        ("\(prefix)down_proj.weight", [d, inner]),
      ]
    }
    guard c.isMixtureOfExperts(layer: layer) else { return swiglu("", c.intermediateSize) }
    let router: [Entry] = [("gate.weight", [c.nRoutedExperts, d])]
    let bias: [Entry] = c.hasRouterBias ? [("gate.e_score_correction_bias", [c.nRoutedExperts])] : []
    let experts = (0..<c.nRoutedExperts).flatMap { swiglu("experts.\($0).", c.moeIntermediateSize) }
    let shared =
      c.nSharedExperts > 0 ? swiglu("shared_experts.", c.nSharedExperts * c.moeIntermediateSize) : []
    return router + bias + experts + shared
  }
}

extension ModelWeights {
  /// To call before a model is built, which takes the memory that the configuration asks for.
  ///
  /// - Throws: `CheckpointError` that lists tensors of another shape; what is missing is left to loading.
  func checkShapes(_ source: some TensorSource) throws(CheckpointError) {
    try source.requireReadable(records.filter { source.contains($0.name) })
  }
}
