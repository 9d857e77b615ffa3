internal import Checkpoint
internal import Model

/// Shapes of weights as they follow from a configuration, to compare with files before a model is built.
enum ExpectedShapes {
  /// - Throws: `CheckpointError` that lists tensors of another shape; what is missing is left to loading.
  static func check(_ directory: HuggingFaceDirectory, _ model: ModelConfiguration) throws(CheckpointError) {
    var faults: [String] = []
    for (name, shape) in list(model) where directory.contains(name) {
      let found = try directory.entry(name).shape
      if found != shape { faults.append("\"\(name)\" has shape \(found), the model needs \(shape)") }
    }
    guard !faults.isEmpty else { return }
    let rest = faults.count > 8 ? "; and \(faults.count - 8) more" : ""
    throw CheckpointError(
      .malformed, path: directory.path, faults.prefix(8).joined(separator: "; ") + rest)
  }

  /// Tensors that have every size of the configuration between them: all outside of the layers, and of each
  /// layer the attention, the router and a projection of each kind of feed-forward part.
  private static func list(_ c: ModelConfiguration) -> [(name: String, shape: [Int])] {
    [
      ("model.embed_tokens.weight", [c.vocabSize, c.hiddenSize]), ("model.norm.weight", [c.hiddenSize]),
      ("lm_head.weight", [c.vocabSize, c.hiddenSize]),
    ]
      + (0..<c.numHiddenLayers).flatMap { layer in
        (attention(c) + feedForward(c, layer: layer)).map { ("model.layers.\(layer).\($0).weight", $1) }
      }
  }

  private static func attention(_ c: ModelConfiguration) -> [(name: String, shape: [Int])] {
    let (d, heads) = (c.hiddenSize, c.numAttentionHeads)
    let queries = heads * c.qkHeadDim
    let query =
      c.qLoraRank.map { [("self_attn.q_a_proj", [$0, d]), ("self_attn.q_b_proj", [queries, $0])] }
      ?? [("self_attn.q_proj", [queries, d])]
    return query + [
      ("self_attn.kv_a_proj_with_mqa", [c.kvLoraRank + c.qkRopeHeadDim, d]),
      ("self_attn.kv_b_proj", [heads * (c.qkNopeHeadDim + c.vHeadDim), c.kvLoraRank]),
      ("self_attn.o_proj", [d, heads * c.vHeadDim]),
    ]
  }

  private static func feedForward(
    _ c: ModelConfiguration, layer: Int
  ) -> [(name: String, shape: [Int])] {
    let d = c.hiddenSize
    guard c.isMixtureOfExperts(layer: layer) else { return [("mlp.gate_proj", [c.intermediateSize, d])] }
    let inner = c.moeIntermediateSize
    return [
      ("mlp.gate", [c.nRoutedExperts, d]), ("mlp.experts.0.gate_proj", [inner, d]),
      ("mlp.shared_experts.gate_proj", [c.nSharedExperts * inner, d]),
    ]
  }
}
