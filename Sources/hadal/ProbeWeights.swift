internal import Checkpoint
internal import Model
internal import Tensors
internal import Training

/// The weights of a probed model, and what its directory holds beside them.
struct ProbeWeights {
  let model: HuggingFaceModel

  /// - Throws: `ProbeError` when the model has no modules of multi-token prediction, or lacks their weights.
  func requireModules() throws(ProbeError) {
    guard model.configuration.numNextnPredictLayers > 0 else {
      throw fault(
        "has no multi-token prediction (num_nextn_predict_layers is 0), so --mtp-weight has no meaning")
    }
    guard let layer = model.absentModules.first else { return }
    throw fault("holds no weights of layer \(layer), a module of multi-token prediction, for --mtp-weight")
  }

  /// To call before the model is built, which takes the memory that the configuration asks for.
  ///
  /// - Throws: `CheckpointError` that lists tensors of another shape; `TrainingError.notEnoughMemory`.
  func checkSize(_ precision: PrecisionSection, multiTokenPrediction: Bool, gradients: Bool) throws {
    try ModelWeights(model.configuration, multiTokenPrediction: multiTokenPrediction)
      .checkShapes(model.weights)
    try MemoryCheck(
      model.configuration, precision, multiTokenPrediction: multiTokenPrediction, gradients: gradients
    ).run()
  }

  /// - Throws: `CheckpointError` that lists what is missing or has another shape.
  func load(into network: DeepSeek) throws(CheckpointError) {
    try network.loadWeights(model.weights.load)
  }

  /// Tensors of the directory that the model does not use, though it would seem that it should.
  func warnings(_ network: DeepSeek) -> [String] {
    let used = Set(network.namedTensors.map(\.name))
    let unused = model.weights.names.filter { !used.contains($0) && !isExpected($0, network) }
    guard !unused.isEmpty else { return [] }
    let more = unused.count > 8 ? " and \(unused.count - 8) more" : ""
    return ["\(model.path): not used by the model: \(unused.prefix(8).joined(separator: ", "))\(more)"]
  }

  /// What says nothing new, and modules that were not asked for.
  private func isExpected(_ name: String, _ network: DeepSeek) -> Bool {
    let isOfModule = model.moduleLayers.contains { name.hasPrefix(ModelWeights.prefix($0)) }
    return isOfModule && network.predictors.isEmpty || model.isRedundant(name)
  }

  private func fault(_ message: String) -> ProbeError { ProbeError(path: model.path, message: message) }
}
