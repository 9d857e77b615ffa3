import Model
import Testing
import Training

/// A configuration that transformers 5.23.0 wrote for a small DeepSeek-V3.
private let v3 = """
  {"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
   "bos_token_id": 0, "dtype": "float32", "eos_token_id": 1, "first_k_dense_replace": 1, "head_dim": 8,
   "hidden_act": "silu", "hidden_size": 128, "initializer_range": 0.02, "intermediate_size": 176,
   "kv_lora_rank": 32, "max_position_embeddings": 256, "model_type": "deepseek_v3",
   "moe_intermediate_size": 32, "n_group": 4, "n_routed_experts": 16, "n_shared_experts": 1,
   "norm_topk_prob": true, "num_attention_heads": 4, "num_experts_per_tok": 4, "num_hidden_layers": 4,
   "num_key_value_heads": 4, "num_nextn_predict_layers": 1, "output_router_logits": false,
   "pad_token_id": null, "pretraining_tp": 1, "q_lora_rank": 48, "qk_head_dim": 24, "qk_nope_head_dim": 16,
   "qk_rope_head_dim": 8, "rms_norm_eps": 1e-06, "rope_interleave": true,
   "rope_parameters": {"rope_theta": 50000.0, "rope_type": "default"}, "routed_scaling_factor": 2.5,
   "tie_word_embeddings": false, "topk_group": 2, "transformers_version": "5.23.0", "use_cache": true,
   "v_head_dim": 16, "vocab_size": 320}
  """

/// The same software's configuration for DeepSeek-V2-Lite.
private let v2 = """
  {"attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
   "first_k_dense_replace": 1, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
   "initializer_range": 0.02, "intermediate_size": 10944, "kv_lora_rank": 512,
   "max_position_embeddings": 163840, "mlp_bias": false, "model_type": "deepseek_v2",
   "moe_intermediate_size": 1408, "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 2,
   "norm_topk_prob": false, "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27,
   "num_key_value_heads": 16, "output_router_logits": false, "pad_token_id": null, "pretraining_tp": 1,
   "q_lora_rank": null, "qk_head_dim": 192, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
   "rms_norm_eps": 1e-06,
   "rope_parameters": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
     "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096, "rope_theta": 10000.0,
     "rope_type": "yarn", "type": "yarn"},
   "routed_scaling_factor": 1.0, "tie_word_embeddings": false, "topk_group": 1, "topk_method": "greedy",
   "transformers_version": "5.23.0", "use_cache": true, "v_head_dim": 128, "vocab_size": 102400}
  """

@Suite struct HuggingFaceConfigurationTests {
  private func read(_ json: String) throws(ConfigurationError) -> ModelConfiguration {
    try ModelConfiguration.parse(ConfigurationReader.parse(json, source: "config.json"))
  }

  @Test func version3() throws {
    let model = try read(v3)
    #expect(model.vocabSize == 320 && model.hiddenSize == 128 && model.qLoraRank == 48 && model.nGroup == 4)
    #expect(model.ropeTheta == 50_000 && model.ropeScaling == nil && model.rmsNormEps == 1e-6)
    #expect(model.initializerRange == 0.02 && model.topkMethod == .noauxTC && model.scoringFunc == .sigmoid)
    #expect(model.numNextnPredictLayers == 1 && model.topkGroup == 2 && model.maxPositionEmbeddings == 256)
  }

  @Test func version2() throws {
    let model = try read(v2)
    #expect(model.scoringFunc == .softmax && model.topkMethod == .greedy && !model.normTopkProb)
    #expect(model.qLoraRank == nil && model.numNextnPredictLayers == 0 && model.routedScalingFactor == 1)
    #expect(model.ropeScaling?.mscaleAllDim == 0.707 && model.attentionFactor == 1)
    // What that software computes for its attention.
    #expect(abs(model.softmaxScale - 0.1147213867929261) < 1e-15)
    #expect(ParameterCount(model).main == 15_706_484_224)
  }

  /// Files from before version 5 of that software keep the base and the scaling apart.
  @Test func olderForms() throws {
    let scaling = """
      "rope_theta": 10000, "num_mtp_layers": 2, "quantization_config": {"quant_method": "fp8"},
      "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
       "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0}
      """
    let old = v3.replacing(
      "\"rope_parameters\": {\"rope_theta\": 50000.0, \"rope_type\": \"default\"}", with: scaling
    )
    .replacing("\"num_nextn_predict_layers\": 1, ", with: "")
    let model = try read(old)
    #expect(model.ropeScaling?.factor == 40 && model.ropeTheta == 10_000 && model.numNextnPredictLayers == 2)
  }

  /// A file that was cut off is refused wherever the cut is.
  @Test func truncation() {
    for length in 0..<v3.count {
      let found = faults { () throws(ConfigurationError) in _ = try read(String(v3.prefix(length))) }
      #expect(found.count == 1 && found[0].hasPrefix("config.json"), "cut at \(length): \(found)")
    }
  }

  @Test func anUnknownKeyIsStillAFault() {
    let found = faults { () throws(ConfigurationError) in
      _ = try read(v3.replacing("\"kv_lora_rank\": 32", with: "\"kv_lora_rnak\": 32"))
    }
    #expect(
      found == [
        "config.json:4: kv_lora_rnak: unknown key; did you mean kv_lora_rank?",
        "config.json:1: kv_lora_rank: missing; width of the latent that keys and values come from (V3: 512)",
      ])
  }
}
