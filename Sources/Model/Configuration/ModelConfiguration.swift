/// The shape of a DeepSeek-V3-style model, under the names of the `config.json` of HF `deepseek_v3`.
///
/// The initial values are DeepSeek-V3's in pre-training: 4096 positions without YaRN and an initial
/// standard deviation of 0.006, where the released file says 163840, YaRN and 0.02.
/// Source: DeepSeek-V3 technical report (arXiv 2412.19437), §4.2, and the released `config.json`.
package struct ModelConfiguration: Sendable, Hashable {
  /// V, the rows of embedding and head.
  package var vocabSize = 129_280
  /// d, the width of the residual stream.
  package var hiddenSize = 7168
  /// The inner width of a dense feed-forward layer.
  package var intermediateSize = 18_432
  /// The inner width of one routed expert; the shared expert is `nSharedExperts` times as wide.
  package var moeIntermediateSize = 2048
  /// The main layers; MTP modules are not among them.
  package var numHiddenLayers = 61
  /// D, the MTP modules; their weights are named as layers `numHiddenLayers + 0 ..< D`.
  package var numNextnPredictLayers = 1
  package var numAttentionHeads = 128
  /// r_q; nil for queries that are not compressed.
  package var qLoraRank: Int? = 1536
  /// r_kv, the width of the latent that keys and values are made from.
  package var kvLoraRank = 512
  package var qkNopeHeadDim = 128
  package var qkRopeHeadDim = 64
  package var vHeadDim = 128
  /// E; 0 for a dense model.
  package var nRoutedExperts = 256
  package var nSharedExperts = 1
  /// K, the routed experts of a token.
  package var numExpertsPerTok = 8
  /// Leading layers with a dense feed-forward layer.
  package var firstKDenseReplace = 3
  package var moeLayerFreq = 1
  package var nGroup = 8
  /// The groups that a token's experts may come from.
  package var topkGroup = 4
  package var scoringFunc = ScoringFunction.sigmoid
  package var topkMethod = TopKMethod.noauxTC
  /// Whether the weights of the selected experts are made to sum to 1.
  package var normTopkProb = true
  package var routedScalingFactor: Float = 2.5
  package var maxPositionEmbeddings = 4096
  package var ropeTheta = 10_000.0
  /// YaRN; nil for plain RoPE.
  package var ropeScaling: RopeScaling?
  /// Whether rotary dimensions are stored as neighbouring pairs.
  package var ropeInterleave = true
  package var rmsNormEps: Float = 1e-6
  /// The standard deviation of initial weights.
  package var initializerRange: Float = 0.006
  /// The end-of-text token that the tokenizer is expected to have; nil for whichever it has.
  package var eosTokenId: Int?

  package init() {}

  /// How a router's logits become affinities.
  package enum ScoringFunction: String, Sendable, CaseIterable {
    case sigmoid, softmax
  }

  /// How experts are selected by their affinities.
  package enum TopKMethod: String, Sendable, CaseIterable {
    /// By affinity plus bias; a group scores by the sum of its two best.
    case noauxTC = "noaux_tc"
    /// By affinity, among all experts.
    case greedy
    /// By affinity; a group scores by its best.
    case groupLimitedGreedy = "group_limited_greedy"
  }
}

extension ModelConfiguration {
  /// The width of one query or key, both parts.
  package var qkHeadDim: Int { qkNopeHeadDim + qkRopeHeadDim }

  /// Whether routers carry the bias that balances the load (`e_score_correction_bias`).
  package var hasRouterBias: Bool { topkMethod == .noauxTC }

  /// The groups that selection looks at: 1 where the method knows none.
  package var routingGroups: Int { topkMethod == .greedy ? 1 : nGroup }

  /// Whether a layer's feed-forward part has experts. Layers from `numHiddenLayers` on are MTP modules.
  package func isMixtureOfExperts(layer: Int) -> Bool {
    guard nRoutedExperts > 0 else { return false }
    if layer >= numHiddenLayers { return true }
    return layer >= firstKDenseReplace && layer.isMultiple(of: moeLayerFreq)
  }
}
