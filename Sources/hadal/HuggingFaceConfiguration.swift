internal import Checkpoint
internal import Model
internal import Tensors

/// The `config.json` of an exported model: every key of its shape, and what loaders ask for beside it.
struct HuggingFaceConfiguration {
  private let model: ModelConfiguration
  private let format: Export.Format
  private let endOfText: Int?

  /// - Parameter endOfText: the tokenizer's; nil for none.
  init(_ model: ModelConfiguration, format: Export.Format, endOfText: Int?) {
    (self.model, self.format, self.endOfText) = (model, format, endOfText)
  }

  /// What transformers reads differently from hadal, which reads it back as it was.
  var warnings: [String] {
    guard !isVersion2 else { return [] }
    var odd: [String] = []
    if model.nRoutedExperts > 0 {
      if model.scoringFunc != .sigmoid { odd.append("scoring_func \(model.scoringFunc.rawValue)") }
      if model.topkMethod != .noauxTC { odd.append("topk_method \(model.topkMethod.rawValue)") }
      if model.moeLayerFreq != 1 { odd.append("moe_layer_freq \(model.moeLayerFreq)") }
      if model.nSharedExperts == 0 { odd.append("n_shared_experts 0") }
    }
    return odd.isEmpty
      ? []
      : ["deepseek_v3 of transformers has no \(odd.joined(separator: ", ")): it will compute something else"]
  }

  /// Whether transformers computes this model as `deepseek_v2`: V2's router, and what that class takes for granted.
  private var isVersion2: Bool {
    model.nRoutedExperts > 0 && model.scoringFunc == .softmax && model.topkMethod != .noauxTC
      && !model.normTopkProb && model.moeLayerFreq == 1 && model.ropeInterleave
      && model.numNextnPredictLayers == 0
  }

  var json: String { Self.text(ConfigurationNode(.mapping(entries)), indent: 0) + "\n" }

  private var entries: [ConfigurationNode.Entry] {
    let version = isVersion2 ? "2" : "3"
    // "dtype" is what newer readers call it; all understand the older key.
    let type = format == .float32 ? "float32" : "bfloat16"
    var values: [String: ConfigurationNode] = [
      "architectures": .sequence([.quoted("DeepseekV\(version)ForCausalLM")]),
      "model_type": .quoted("deepseek_v\(version)"), "torch_dtype": .quoted(type),
      "use_cache": .plain("true"),
      "num_key_value_heads": .plain("\(model.numAttentionHeads)"), "bos_token_id": .null,
      "pad_token_id": .null,
    ]
    for entry in ModelConfiguration.schema.write(model).entries ?? [] { values[entry.key] = entry.value }
    if let endOfText, model.eosTokenId == nil { values["eos_token_id"] = .plain("\(endOfText)") }
    // Without experts every layer is dense, also for a reader that does not know 0 experts.
    if model.nRoutedExperts == 0 { values["first_k_dense_replace"] = .plain("\(model.numHiddenLayers)") }
    if let scaling = values["rope_scaling"]?.entries {
      values["rope_scaling"] = ConfigurationNode(.mapping(scaling.filter { !$0.value.isNull }))
    }
    if format == .fp8 { values["quantization_config"] = QuantizationFormat.node }
    return values.sorted { $0.key < $1.key }.map { .init(key: $0, location: .generated, value: $1) }
  }

  /// The node as JSON. Unquoted text is a number, a truth value, or a word of ours, which JSON quotes.
  private static func text(_ node: ConfigurationNode, indent: Int) -> String {
    let margin = String(repeating: " ", count: indent)
    switch node.content {
    case .null: return "null"
    case .scalar(let text, quoted: false):
      let isBare = ["true", "false"].contains(text) || Double(text) != nil
      return isBare ? text : jsonString(text)
    case .scalar(let text, quoted: true): return jsonString(text)
    case .sequence(let items):
      return "[" + items.map { self.text($0, indent: indent) }.joined(separator: ", ") + "]"
    case .mapping(let entries):
      let lines = entries.map { "\(margin)  \(jsonString($0.key)): \(text($0.value, indent: indent + 2))" }
      return "{\n\(lines.joined(separator: ",\n"))\n\(margin)}"
    }
  }
}

extension ConfigurationNode {
  fileprivate static func quoted(_ text: String) -> ConfigurationNode { .init(.scalar(text, quoted: true)) }

  fileprivate static func sequence(_ items: [ConfigurationNode]) -> ConfigurationNode {
    .init(.sequence(items))
  }
}

extension QuantizationFormat {
  /// `quantization_config` of the released models.
  fileprivate static var node: ConfigurationNode {
    let side = ConfigurationNode.plain("\(QuantizedTensor.tile)")
    let words = words.mapValues(ConfigurationNode.quoted)
    let values = words.merging(["weight_block_size": .sequence([side, side])]) { $1 }
    return ConfigurationNode(
      .mapping(
        values.sorted { $0.key < $1.key }.map { .init(key: $0, location: .generated, value: $1) }))
  }
}
