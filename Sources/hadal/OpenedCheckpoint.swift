internal import Checkpoint
internal import Data
internal import Generation
internal import Model
internal import Tensors
internal import Training

/// A checkpoint that a command reads: its tensors, and the configuration that its manifest holds.
struct OpenedCheckpoint {
  let stored: StoredCheckpoint
  let run: RunConfiguration

  /// - Parameters:
  ///   - path: A checkpoint, a directory of checkpoints, or a run's directory.
  ///   - hashing: which files are hashed now; none if only `model` reads them, which does so itself.
  /// - Throws: `CheckpointError`; `ConfigurationError` for a configuration that this version does not read.
  init(_ path: String, hashing: StoredCheckpoint.Hashing) throws {
    stored = try StoredCheckpoint.find(path, hashing: hashing)
    run = try RunConfiguration.parse(
      yaml: stored.manifest.configuration, source: "\(stored.path)/\(Manifest.fileName)")
  }

  /// The `tokenizer.json` that belongs to it.
  ///
  /// - Throws: `GenerationError.noTokenizer`.
  func tokenizerPath() throws(GenerationError) -> String {
    try TokenizerFinder.path(besideCheckpoint: stored.path)
  }

  /// Builds the model with its weights, and hashes the files meanwhile.
  ///
  /// - Parameters:
  ///   - tokens: how many the tokenizer has.
  ///   - endOfText: the tokenizer's, where it must be the model's.
  ///   - precision: the formats to compute in.
  /// - Throws: `ConfigurationError`, `TrainingError.notEnoughMemory`, `DeviceError`, `CheckpointError`.
  func model(
    tokens: Int, endOfText: Int32? = nil, precision: PrecisionSection, multiTokenPrediction: Bool,
    threads: Int? = nil
  ) throws -> DeepSeek {
    let shape = try run.model.resolved(tokenizerVocabSize: tokens, endOfText: endOfText)
    try MemoryCheck(shape, precision, multiTokenPrediction: multiTokenPrediction).run()
    let model = DeepSeek(
      shape, compute: precision.mode.dtype, float8: Float8Policy(precision),
      multiTokenPrediction: multiTokenPrediction,
      on: try ProcessDevice.make(threads: threads))
    try model.loadWeights { (weights: [NamedTensor]) throws(CheckpointError) in
      try stored.load(into: weights.map(TensorPiece.init), hashing: .all, staysCached: true)
    }
    if precision.fallsBack {
      model.setFallenBack(layers: try RunState.fallenBackLayers(in: stored.manifest, path: stored.path))
    }
    return model
  }
}
