/// Brings the forms that a `config.json` of HF may have into the one that the schema reads.
package enum HuggingFaceKeys {
  /// Rewrites old names, `rope_parameters`, and what the family's own defaults are.
  package static func normalize(
    _ node: ConfigurationNode, _ reading: inout ConfigurationReading
  ) -> ConfigurationNode {
    guard var entries = node.entries else { return node }
    applyFamily(&entries, &reading)
    rename(&entries)
    checkKeyValueHeads(&entries, &reading)
    expandRopeParameters(&entries, &reading)
    normalizeRopeScaling(&entries)
    return ConfigurationNode(.mapping(entries), at: node.location)
  }

  /// `deepseek_v2` files rely on defaults that are not V3's.
  private static func applyFamily(
    _ entries: inout [ConfigurationNode.Entry], _ reading: inout ConfigurationReading
  ) {
    guard let index = entries.firstIndex(where: { $0.key == "model_type" }) else { return }
    let family = entries.remove(at: index)
    switch family.value.content {
    case .scalar("deepseek_v3", _): return
    case .scalar("deepseek_v2", _):
      let standards = [
        ("scoring_func", "softmax"), ("topk_method", "greedy"), ("norm_topk_prob", "false"),
        ("num_nextn_predict_layers", "0"), ("routed_scaling_factor", "1.0"),
      ]
      for (key, text) in standards where !entries.contains(where: { $0.key == key }) {
        let value = ConfigurationNode(.scalar(text, quoted: false), at: family.location)
        entries.append(.init(key: key, location: family.location, value: value))
      }
    default:
      let message = "must be deepseek_v3 or deepseek_v2, found \(family.value.found)"
      reading.fault(at: family.location, key: "model_type", message)
    }
  }

  private static func rename(_ entries: inout [ConfigurationNode.Entry]) {
    let aliases = [
      "num_mtp_layers": "num_nextn_predict_layers", "num_local_experts": "n_routed_experts",
      "num_experts": "n_routed_experts",
    ]
    for index in entries.indices {
      let entry = entries[index]
      var value = entry.value
      // The reference inference code writes 0 for what HF writes as null.
      if entry.key == "q_lora_rank", value.content == .scalar("0", quoted: false) { value.content = .null }
      entries[index] = .init(key: aliases[entry.key] ?? entry.key, location: entry.location, value: value)
    }
  }

  /// The number of key-value heads is not free, but files state it.
  private static func checkKeyValueHeads(
    _ entries: inout [ConfigurationNode.Entry], _ reading: inout ConfigurationReading
  ) {
    guard let index = entries.firstIndex(where: { $0.key == "num_key_value_heads" }) else { return }
    let entry = entries.remove(at: index)
    let heads = entries.first { $0.key == "num_attention_heads" }?.value
    guard !entry.value.isNull, let heads, heads.content != entry.value.content else { return }
    reading.fault(
      at: entry.location, key: entry.key,
      "must be equal to num_attention_heads (\(heads.found)) or null: MLA makes one key and value for each "
        + "query head; found \(entry.value.found)")
  }

  /// transformers 5 keeps `rope_theta` and the scaling together in `rope_parameters`.
  private static func expandRopeParameters(
    _ entries: inout [ConfigurationNode.Entry], _ reading: inout ConfigurationReading
  ) {
    guard let index = entries.firstIndex(where: { $0.key == "rope_parameters" }) else { return }
    let parameters = entries.remove(at: index)
    if parameters.value.isNull { return }
    guard var inner = parameters.value.entries else {
      let message = "expected a section with keys, found \(parameters.value.found)"
      reading.fault(at: parameters.location, key: parameters.key, message)
      return
    }
    if let scaling = entries.first(where: { $0.key == "rope_scaling" }), !scaling.value.isNull {
      reading.fault(
        at: scaling.location, key: scaling.key, "stands beside rope_parameters; write only one of them")
      return
    }
    entries.removeAll { $0.key == "rope_scaling" }
    if let theta = inner.firstIndex(where: { $0.key == "rope_theta" }) {
      entries.removeAll { $0.key == "rope_theta" }
      entries.append(inner.remove(at: theta))
    }
    let section = ConfigurationNode(.mapping(inner), at: parameters.location)
    entries.append(.init(key: "rope_scaling", location: parameters.location, value: section))
  }

  /// `rope_type` is `type`; the type `default` is no scaling; a partial rotary factor of 1 is none.
  private static func normalizeRopeScaling(_ entries: inout [ConfigurationNode.Entry]) {
    guard let index = entries.firstIndex(where: { $0.key == "rope_scaling" }),
      var inner = entries[index].value.entries
    else { return }
    if inner.contains(where: { $0.key == "rope_type" }) { inner.removeAll { $0.key == "type" } }
    inner = inner.map { entry in
      .init(key: entry.key == "rope_type" ? "type" : entry.key, location: entry.location, value: entry.value)
    }
    inner.removeAll { entry in
      guard entry.key == "partial_rotary_factor", case .scalar(let text, _) = entry.value.content else {
        return false
      }
      return Double(text) == 1
    }
    // With more keys beside it the type `default` is a contradiction, which the schema reports.
    let isPlain = inner.allSatisfy { entry in
      if entry.key == "type", case .scalar("default", _) = entry.value.content { true } else { false }
    }
    let location = entries[index].value.location
    entries[index].value = ConfigurationNode(isPlain ? .null : .mapping(inner), at: location)
  }
}

extension ModelConfiguration {
  /// Keys of a `config.json` that say nothing about the shape of the model.
  package static let unusedKeys: Set<String> = [
    "_attn_implementation", "_name_or_path", "add_cross_attention", "architectures",
    "attn_implementation", "auto_map", "aux_loss_alpha", "bos_token_id", "chunk_size_feed_forward",
    "dtype", "ep_size",
    "experts_implementation", "head_dim", "id2label", "is_decoder", "is_encoder_decoder", "label2id",
    "name_or_path", "output_attentions", "output_hidden_states", "output_router_logits", "pad_token_id",
    "pretraining_tp", "problem_type", "qk_head_dim", "quantization_config", "return_dict",
    "router_aux_loss_coef", "seq_aux", "sep_token_id", "torch_dtype", "transformers_version", "use_cache",
  ]

  /// Reads a model section or the whole of an HF `config.json`.
  ///
  /// - Throws: every fault, each with its line and key.
  package static func parse(
    _ node: ConfigurationNode, path: [String] = []
  ) throws(ConfigurationError) -> ModelConfiguration {
    try schema.parse(node, path: path)
  }
}
