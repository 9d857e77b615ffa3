extension ModelConfiguration {
  /// The model section, vocabulary included.
  package static let schema = Schema(
    initial: initial,
    fields: [
      Schema.Field(
        "vocab_size", \.vocabSize, vocabularySize, unit: "tokens", required: .always,
        "rows of the embedding and of the output head")
    ] + shapeFields, unused: unusedKeys,
    rules: rules + [
      Schema.Rule("eos_token_id", "vocab_size") { endOfTextFault($0.eosTokenId, $0.vocabSize) }
    ], normalize: HuggingFaceKeys.normalize)

  /// Limits are far beyond any model, and keep every product of sizes within 63 bits.
  package static let vocabularySize = ValueKind.integer(1...(1 << 24))
  private static let width = ValueKind.integer(1...(1 << 18))
  private static let layers = ValueKind.integer(1...1024)
  private static let headWidth = ValueKind.integer(1...4096)

  /// The defaults of absent keys: as `init()`, but groups are only used where they are asked for.
  package static let initial: ModelConfiguration = {
    var initial = ModelConfiguration()
    initial.nGroup = 1
    initial.topkGroup = 1
    return initial
  }()

  private static let needsExperts = Schema<ModelConfiguration>.Requirement.when("n_routed_experts is not 0") {
    $0.nRoutedExperts > 0
  }

  /// Every key but `vocab_size`, which a training run may leave to its tokenizer.
  package static let shapeFields: [Schema<ModelConfiguration>.Field] =
    sizeFields + attentionFields + expertFields + otherFields

  private static let sizeFields: [Schema<ModelConfiguration>.Field] = [
    .init("hidden_size", \.hiddenSize, width, required: .always, "width of the residual stream (V3: 7168)"),
    .init(
      "intermediate_size", \.intermediateSize, width, required: .always,
      "inner width of dense feed-forward layers (V3: 18432)"),
    .init(
      "num_hidden_layers", \.numHiddenLayers, layers, required: .always,
      "main layers, without MTP modules (V3: 61)"),
    .init(
      "num_nextn_predict_layers", \.numNextnPredictLayers, .integer(0...1024).null(is: 0),
      "MTP modules, each predicting one more token ahead"),
    .init(
      "max_position_embeddings", \.maxPositionEmbeddings, .integer(1...(1 << 30)), unit: "tokens",
      "longest sequence"),
  ]

  private static let attentionFields: [Schema<ModelConfiguration>.Field] = [
    .init(
      "num_attention_heads", \.numAttentionHeads, headWidth, required: .always, "attention heads (V3: 128)"),
    .init(
      "q_lora_rank", \.qLoraRank, width.optional(),
      "width of the compressed query; null (or 0) for queries that are not compressed"),
    .init(
      "kv_lora_rank", \.kvLoraRank, width, required: .always,
      "width of the latent that keys and values come from (V3: 512)"),
    .init(
      "qk_nope_head_dim", \.qkNopeHeadDim, headWidth, required: .always,
      "width of a head's query and key without position (V3: 128)"),
    .init(
      "qk_rope_head_dim", \.qkRopeHeadDim, headWidth, required: .always,
      "width of a head's rotary part; even (V3: 64)"),
    .init("v_head_dim", \.vHeadDim, headWidth, required: .always, "width of a head's value (V3: 128)"),
    .init("rope_theta", \.ropeTheta, .float(.atLeast(1.001)), "base of the rotary frequencies"),
    .init(
      "rope_scaling", \.ropeScaling, ValueKind.section(RopeScaling.schema).optional(),
      "YaRN, for contexts beyond that of pre-training; null for plain RoPE"),
    .init(
      "rope_interleave", \.ropeInterleave, .bool,
      "rotary dimensions are stored as neighbouring pairs (else as two halves)"),
  ]

  private static let expertFields: [Schema<ModelConfiguration>.Field] = [
    .init(
      "n_routed_experts", \.nRoutedExperts, .integer(0...1024).null(is: 0), required: .always,
      "routed experts of a layer; 0 for a dense model (V3: 256)"),
    .init(
      "n_shared_experts", \.nSharedExperts, .integer(0...1024).null(is: 0), "experts that every token uses"),
    .init(
      "num_experts_per_tok", \.numExpertsPerTok, .integer(1...1024), required: needsExperts,
      "routed experts of a token (V3: 8)"),
    .init(
      "moe_intermediate_size", \.moeIntermediateSize, width, required: needsExperts,
      "inner width of one expert (V3: 2048)"),
    .init(
      "first_k_dense_replace", \.firstKDenseReplace, .integer(0...1024), required: needsExperts,
      "leading layers with a dense feed-forward layer (V3: 3)"),
    .init("moe_layer_freq", \.moeLayerFreq, .integer(1...1024), "after those, every n-th layer has experts"),
    .init("n_group", \.nGroup, .integer(1...1024).null(is: 1), "groups that the experts form (V3: 8)"),
    .init(
      "topk_group", \.topkGroup, .integer(1...1024).null(is: 1),
      "groups that a token's experts may come from (V3: 4)"),
    .init("scoring_func", \.scoringFunc, .choice(ScoringFunction.self), "router logits to affinities"),
    .init(
      "topk_method", \.topkMethod, .choice(TopKMethod.self),
      "selection: by affinity plus balancing bias (noaux_tc), or by affinity with or without groups"),
    .init("norm_topk_prob", \.normTopkProb, .bool, "weights of the selected experts sum to 1"),
    .init(
      "routed_scaling_factor", \.routedScalingFactor, .float(.positive),
      "what those weights are multiplied by"),
  ]

  private static let otherFields: [Schema<ModelConfiguration>.Field] = [
    .init("rms_norm_eps", \.rmsNormEps, .float(.positive), "epsilon of every RMSNorm"),
    .init(
      "initializer_range", \.initializerRange, .float(.notNegative), "standard deviation of initial weights"),
    .init(
      "eos_token_id", \.eosTokenId, ValueKind.integer(0...).optional(),
      "token that ends a document; must be the tokenizer's, which null stands for"),
    .only(
      "hidden_act", "silu", .string, reason: "feed-forward layers are SwiGLU", "activation of SwiGLU's gate"),
    .only(
      "attention_bias", false, .bool, reason: "no linear layer has a bias", "biases of the projections"),
    .only("mlp_bias", false, .bool, reason: "no linear layer has a bias", "biases of feed-forward layers"),
    .only(
      "attention_dropout", 0.0, .float(.notNegative), reason: "the recipe has no dropout",
      "dropout of attention weights"),
    .only(
      "tie_word_embeddings", false, .bool, reason: "embedding and output head are separate tensors",
      "one tensor for embedding and head"),
  ]
}

extension RopeScaling {
  package static let schema = Schema<RopeScaling>(
    initial: RopeScaling(),
    fields: [
      .only("type", "yarn", .string, reason: "no other scaling is implemented", "kind of scaling"),
      .init("factor", \.factor, .float(.atLeast(1)), required: .always, "new context over old"),
      .init(
        "original_max_position_embeddings", \.originalMaxPositionEmbeddings, .integer(1...(1 << 30)),
        unit: "tokens", required: .always, "context of pre-training"),
      .init(
        "beta_fast", \.betaFast, ValueKind.float(.positive).null(is: 32),
        "frequencies with more turns than this stay"),
      .init(
        "beta_slow", \.betaSlow, ValueKind.float(.positive).null(is: 1),
        "frequencies with fewer turns than this are divided by factor"),
      .init("mscale", \.mscale, ValueKind.float(.notNegative).optional(), "scale of cosine and sine"),
      .init(
        "mscale_all_dim", \.mscaleAllDim, ValueKind.float(.notNegative).optional(),
        "scale of the softmax temperature, entering squared"),
      .init(
        "attention_factor", \.attentionFactor, ValueKind.float(.positive).optional(),
        "scale of cosine and sine, instead of the one from mscale / mscale_all_dim"),
      .init("truncate", \.truncate, .bool, "the ramp between the betas begins and ends at whole dimensions"),
    ],
    rules: [
      .init("beta_fast", "beta_slow") {
        $0.betaFast > $0.betaSlow
          ? nil : "beta_fast (\($0.betaFast)) must be greater than beta_slow (\($0.betaSlow))"
      }
    ])
}
