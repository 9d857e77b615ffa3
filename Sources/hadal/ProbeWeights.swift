internal import Checkpoint
internal import Model
internal import Tensors
internal import Training

/// The weights of a probed model, and what its directory holds beside them.
struct ProbeWeights {
  let directory: HuggingFaceDirectory
  let configuration: ModelConfiguration

  /// - Throws: `ProbeError` when the model has no modules of multi-token prediction, or lacks their weights.
  func requireModules() throws(ProbeError) {
    guard configuration.numNextnPredictLayers > 0 else {
      throw fault(
        "has no multi-token prediction (num_nextn_predict_layers is 0), so --mtp-weight has no meaning")
    }
    for layer in moduleLayers where !directory.names.contains(where: { $0.hasPrefix(prefix(layer)) }) {
      throw fault("holds no weights of layer \(layer), a module of multi-token prediction, for --mtp-weight")
    }
  }

  /// To call before the model is built, which takes the memory that the configuration asks for.
  ///
  /// - Throws: `CheckpointError` that lists tensors of another shape; `TrainingError.notEnoughMemory`.
  func checkSize(compute: DType, multiTokenPrediction: Bool, gradients: Bool) throws {
    try ExpectedShapes.check(directory, configuration)
    try MemoryCheck(
      configuration, compute: compute, multiTokenPrediction: multiTokenPrediction, gradients: gradients
    ).run()
  }

  /// - Throws: `CheckpointError` that lists what is missing or has another shape.
  func load(into model: DeepSeek) throws(CheckpointError) {
    try model.loadWeights(directory.load)
  }

  /// Tensors of the directory that the model does not use, though it would seem that it should.
  func warnings(_ model: DeepSeek) -> [String] {
    let used = Set(model.namedTensors.map(\.name))
    let unused = directory.names.filter { !used.contains($0) && !isExpected($0, model) }
    guard !unused.isEmpty else { return [] }
    let more = unused.count > 8 ? " and \(unused.count - 8) more" : ""
    return ["\(directory.path): not used by the model: \(unused.prefix(8).joined(separator: ", "))\(more)"]
  }

  /// Derived values that some files hold, and modules that were not asked for.
  private func isExpected(_ name: String, _ model: DeepSeek) -> Bool {
    if name.hasSuffix(".rotary_emb.inv_freq") { return true }
    guard let layer = moduleLayers.first(where: { name.hasPrefix(prefix($0)) }) else { return false }
    if model.predictors.isEmpty { return true }
    let copies = [
      "embed_tokens.weight": "model.embed_tokens.weight", "shared_head.head.weight": "lm_head.weight",
    ]
    guard let original = copies[String(name.dropFirst(prefix(layer).count))] else { return false }
    return isCopy(name, of: original)
  }

  /// Modules share the main model's embedding and head; released files repeat them.
  private func isCopy(_ name: String, of original: String) -> Bool {
    guard let copy = try? directory.bytes(name) else { return false }
    return (try? directory.bytes(original))?.elementsEqual(copy) ?? false
  }

  private var moduleLayers: Range<Int> {
    configuration.numHiddenLayers..<configuration.numHiddenLayers + configuration.numNextnPredictLayers
  }

  private func prefix(_ layer: Int) -> String { "model.layers.\(layer)." }

  private func fault(_ message: String) -> ProbeError { ProbeError(path: directory.path, message: message) }
}
