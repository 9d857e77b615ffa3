internal import Checkpoint
internal import Glibc
internal import Model
internal import Tensors
internal import Training

/// A Hugging Face directory, opened: what its `config.json` says, and its weights.
struct HuggingFaceModel {
  let configuration: ModelConfiguration
  let weights: HuggingFaceDirectory

  /// - Parameter requiresFamily: Whether `config.json` must say of which family the model is.
  /// - Throws: `ConfigurationError` for `config.json`; `CheckpointError` for the weights.
  init(_ path: String, requiresFamily: Bool = false) throws {
    let node = try ConfigurationReader.read(path: "\(path)/config.json")
    if requiresFamily, node.entry("model_type") == nil {
      throw ConfigurationError(
        at: node.location, path: "model_type",
        "missing; a directory of a model that can be imported says deepseek_v3 (or deepseek_v2)")
    }
    configuration = try ModelConfiguration.parse(node)
    try QuantizationFormat.check(node)
    weights = try HuggingFaceDirectory(path)
  }

  var path: String { weights.path }

  /// Layers with the weights of multi-token prediction.
  var moduleLayers: Range<Int> { ModelWeights.moduleLayers(configuration) }

  /// Modules of multi-token prediction that `config.json` counts, but no file has any tensor of.
  var absentModules: [Int] {
    moduleLayers.filter { layer in
      !weights.names.contains { $0.hasPrefix(ModelWeights.prefix(layer)) }
    }
  }

  /// Whether a tensor says nothing new: a derived value that some files hold, or a copy of the main model's
  /// embedding or head, which the modules share and released files repeat.
  func isRedundant(_ name: String) -> Bool {
    if name.hasSuffix(".rotary_emb.inv_freq") { return true }
    guard let layer = moduleLayers.first(where: { name.hasPrefix(ModelWeights.prefix($0)) }),
      let original = Self.sharedTensors[String(name.dropFirst(ModelWeights.prefix(layer).count))]
    else { return false }
    return isCopy(name, of: original)
  }

  /// What a module's layer repeats in released files, and of what it is a copy.
  static let sharedTensors = [
    "embed_tokens.weight": "model.embed_tokens.weight", "shared_head.head.weight": "lm_head.weight",
  ]

  private func isCopy(_ name: String, of original: String) -> Bool {
    guard let a = try? weights.bytes(name), let b = try? weights.bytes(original), a.count == b.count,
      let record = try? weights.entry(name), let other = try? weights.entry(original)
    else { return false }
    guard record.type == other.type, record.shape == other.shape else { return false }
    return a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0
  }
}

/// The `quantization_config` of a `config.json`: the one format of weights that is read and written here.
enum QuantizationFormat {
  /// What the released models say, beside the size of blocks.
  static let words = ["activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8"]

  /// - Throws: `ConfigurationError` for every key that says something else. How activations are quantized, and in
  ///   which steps scales go, makes no difference to the weights.
  static func check(_ config: ConfigurationNode) throws(ConfigurationError) {
    guard let entry = config.entry("quantization_config"), !entry.value.isNull else { return }
    var reading = ConfigurationReading(path: ["quantization_config"])
    let keys = entry.value.entries ?? []
    if !keys.contains(where: { $0.key == "quant_method" }) {
      reading.fault(at: entry.location, key: "quant_method", "missing; only fp8 is read")
    }
    for key in keys {
      switch key.key {
      case "quant_method", "fmt":
        guard case .scalar(words[key.key], _) = key.value.content else {
          let word = words[key.key] ?? ""
          reading.fault(at: key.location, key: key.key, "must be \(word), found \(key.value.found)")
          continue
        }
      case "weight_block_size":
        let block = ConfigurationNode.Content.scalar("\(QuantizedTensor.tile)", quoted: false)
        guard case .sequence(let sides) = key.value.content, sides.map(\.content) == [block, block] else {
          reading.fault(
            at: key.location, key: key.key,
            "must be [\(QuantizedTensor.tile), \(QuantizedTensor.tile)]: other blocks are not read")
          continue
        }
      default: continue
      }
    }
    guard reading.faults.isEmpty else { throw ConfigurationError(faults: reading.faults) }
  }
}
