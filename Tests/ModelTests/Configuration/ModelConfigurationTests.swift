import Model
import Testing

/// The smallest model section that is complete.
private let small: Tree = [
  "vocab_size": "320", "hidden_size": "128", "intermediate_size": "176", "num_hidden_layers": "4",
  "num_attention_heads": "4", "kv_lora_rank": "32", "qk_nope_head_dim": "16", "qk_rope_head_dim": "8",
  "v_head_dim": "16", "n_routed_experts": "16", "num_experts_per_tok": "4", "moe_intermediate_size": "32",
  "first_k_dense_replace": "1",
]

private func parse(_ tree: Tree) throws(ConfigurationError) -> ModelConfiguration {
  try ModelConfiguration.parse(tree.node)
}

private func faultsOf(_ tree: Tree) -> [String] {
  faults { () throws(ConfigurationError) in _ = try parse(tree) }
}

/// A change to `small`, and how the fault that it causes begins.
private let impossible: [(Tree, String)] = [
  (["n_group": "3"], "test.yaml:14: n_group: n_routed_experts (16) must be a multiple of n_group (3)"),
  (
    ["n_group": "8", "topk_group": "1"],
    "test.yaml:11: num_experts_per_tok: num_experts_per_tok (4) exceeds the 2 experts of the groups that a "
      + "token keeps (n_routed_experts 16, n_group 8, topk_group 1)"
  ),
  (
    ["num_key_value_heads": "2"],
    "test.yaml:14: num_key_value_heads: must be equal to num_attention_heads ('4')"
  ),
  (["tie_word_embeddings": "true"], "test.yaml:14: tie_word_embeddings: must be false: embedding and output"),
  (["attention_bias": "true"], "test.yaml:14: attention_bias: must be false: no linear layer has a bias"),
  (["attention_dropout": "0.1"], "test.yaml:14: attention_dropout: must be 0.0: the recipe has no dropout"),
  (["hidden_act": "gelu"], "test.yaml:14: hidden_act: must be silu: feed-forward layers are SwiGLU"),
  (["model_type": "llama"], "test.yaml:14: model_type: must be deepseek_v3 or deepseek_v2, found 'llama'"),
  (["scoring_func": "tanh"], "test.yaml:14: scoring_func: expected one of sigmoid, softmax; found 'tanh'"),
  (
    ["rope_scaling": ["type": "yarn", "factor": "4"]],
    "test.yaml:14: rope_scaling.original_max_position_embeddings: m"
  ),
  (
    ["rope_scaling": ["type": "linear", "factor": "4"]],
    "test.yaml:15: rope_scaling.type: must be yarn: no other"
  ),
  (
    ["rope_scaling": ["factor": "4", "original_max_position_embeddings": "8", "beta_fast": "1"]],
    "test.yaml:17: rope_scaling.beta_fast: beta_fast (1.0) must be greater than beta_slow (1.0)"
  ),
  (
    ["rope_parameters": ["rope_type": "dynamic", "factor": "2"]],
    "test.yaml:15: rope_scaling.type: must be yarn"
  ),
  (
    ["rope_parameters": ["partial_rotary_factor": "0.5"]],
    "test.yaml:15: rope_scaling.partial_rotary_factor: unknown"
  ),
  (
    ["hidden_size": "99999999999"], "test.yaml:2: hidden_size: expected an integer from 1 to 262144, found '9"
  ),
]

@Suite struct ModelConfigurationTests {
  @Test func absentKeysHaveThePaperValuesAndNoGroups() throws {
    let model = try parse(small)
    #expect(model.initializerRange == 0.006 && model.qLoraRank == 1536 && model.nSharedExperts == 1)
    #expect(model.nGroup == 1 && model.topkGroup == 1 && model.topkMethod == .noauxTC)
    #expect(model.scoringFunc == .sigmoid && model.routedScalingFactor == 2.5 && model.ropeScaling == nil)
  }

  /// Nothing uses the token that begins a document, so any is taken.
  @Test func specialTokensAreOptional() throws {
    #expect(try parse(small).eosTokenId == nil)
    #expect(try parse(small.with("eos_token_id", .null)).eosTokenId == nil)
    let model = try parse(small.with("eos_token_id", "319").with("bos_token_id", "999"))
    #expect(model.eosTokenId == 319)
  }

  @Test func missingShapesAreAllNamed() {
    let found = faultsOf(["n_routed_experts": "8"])
    let missing = found.compactMap { $0.split(separator: ":").dropFirst(2).first.map { $0.dropFirst() } }
    #expect(
      missing == [
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "num_experts_per_tok",
        "moe_intermediate_size", "first_k_dense_replace",
      ])
  }

  @Test func aDenseModelNeedsNoExpertKeys() throws {
    var tree = small.with("n_routed_experts", "0")
    for key in ["num_experts_per_tok", "moe_intermediate_size", "first_k_dense_replace"] {
      tree = tree.with(key, nil)
    }
    let model = try parse(tree)
    #expect((0..<6).allSatisfy { !model.isMixtureOfExperts(layer: $0) })
  }

  @Test func layersWithExperts() throws {
    let model = try parse(small.with("num_hidden_layers", "6").with("moe_layer_freq", "2"))
    #expect(
      (0..<8).map { model.isMixtureOfExperts(layer: $0) } == [
        false, false, true, false, true, false, true, true,
      ])
  }

  @Test func zeroQueryRankMeansNone() throws {
    #expect(try parse(small.with("q_lora_rank", "0")).qLoraRank == nil)
    #expect(try parse(small.with("q_lora_rank", .null)).qLoraRank == nil)
  }

  @Test func allImpossibleCombinationsAtOnce() {
    let tree = small.with("qk_rope_head_dim", "7").with("first_k_dense_replace", "5").with("n_group", "16")
      .with("topk_group", "17").with("eos_token_id", "320").with("num_experts_per_tok", "17")
    #expect(
      faultsOf(tree) == [
        "test.yaml:8: qk_rope_head_dim: qk_rope_head_dim (7) must be even: rotation turns pairs",
        "test.yaml:13: first_k_dense_replace: first_k_dense_replace (5) exceeds num_hidden_layers (4); "
          + "for a dense model set n_routed_experts to 0",
        "test.yaml:15: topk_group: topk_group (17) must not exceed n_group (16)",
        "test.yaml:14: n_group: a group has 1 expert; noaux_tc scores a group by its best 2, "
          + "so it needs at least 2",
        "test.yaml:16: eos_token_id: eos_token_id (320) is not below vocab_size (320)",
      ])
  }

  @Test(arguments: impossible)
  func faultNamesKeyAndLine(change: Tree, fault: String) {
    guard case .map(let pairs) = change else { return #expect(Bool(false)) }
    let tree = pairs.reduce(small) { $0.with($1.0, $1.1) }
    let found = faultsOf(tree)
    #expect(found.contains { $0.hasPrefix(fault) }, "\(found)")
  }

  @Test func greedySelectionKnowsNoGroups() throws {
    let model = try parse(small.with("topk_method", "greedy").with("n_group", "3").with("topk_group", "9"))
    #expect(model.routingGroups == 1 && !model.hasRouterBias)
  }

  @Test func theOlderFamilyHasItsOwnDefaults() throws {
    let model = try parse(small.with("model_type", "deepseek_v2"))
    #expect(model.scoringFunc == .softmax && model.topkMethod == .greedy && !model.normTopkProb)
    #expect(model.numNextnPredictLayers == 0 && model.routedScalingFactor == 1)
    let given = try parse(small.with("model_type", "deepseek_v2").with("norm_topk_prob", "true"))
    #expect(given.normTopkProb)
  }

  @Test func writtenModelsReadBackEqual() throws {
    var model = ModelConfiguration()
    model.ropeScaling = RopeScaling()
    model.ropeScaling?.mscale = 0.707
    (model.qLoraRank, model.eosTokenId, model.rmsNormEps) = (nil, 5, 1.1e-5)
    (model.topkMethod, model.scoringFunc) = (.groupLimitedGreedy, .softmax)
    #expect(try ModelConfiguration.parse(ModelConfiguration.schema.write(model)) == model)
  }
}
