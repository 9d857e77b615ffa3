internal import ArgumentParser
internal import Checkpoint
internal import Data
internal import Model
internal import Tensors
internal import Training

/// `hadal import`: a checkpoint from a Hugging Face directory.
struct Import: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a checkpoint of a Hugging Face directory.",
    discussion: """
      FROM holds config.json of a deepseek_v3 (or deepseek_v2) model and weights in float32, float16, bfloat16 or FP8 \
      with their scales. DIR, which must not exist or be empty, gets step-0 with float32 weights and no moments: \
      training that resumes from it begins with moments of zero. The tokenizer's files come along. One tensor at a \
      time is in memory.
      """)

  @Option(help: "The Hugging Face directory.") var from: String

  @Option(help: "The directory to make, for --checkpoint and --resume of other commands.") var to: String

  func run() throws {
    let directory = try StagedDirectory(to)
    let model = try HuggingFaceModel(from, requiresFamily: true)
    let weights = ModelWeights(model.configuration)
    try checkModules(model)
    try model.weights.requireReadable(weights.records)
    try checkSurplus(model, weights)
    let companions = TokenizerFiles(in: from)
    let run = try ImportedRun.configuration(model, companions)
    let device = try ProcessDevice.make()
    let source = model.weights
    let contents = CheckpointContents(
      configuration: run.yaml(), step: 0, tokens: 0, nextSample: 0, state: RunCheckpoint.withoutMoments,
      tensors: weights.records
    ) { (name, write) throws(CheckpointError) in
      let tensor = Tensor(try source.entry(name).shape, on: device)
      try source.load(into: [NamedTensor(name: name, tensor: tensor)])
      if let index = tensor.firstNonFinite() {
        throw CheckpointError(
          .malformed, path: try source.file(of: name).path,
          "\"\(name)\" is \(tensor.floats[index]) at element \(index): no model computes with that; "
            + "copy the file anew, or take an earlier one")
      }
      try write(tensor.bytes)
    }
    try directory.fill { (staging) throws(CheckpointError) in
      _ = try CheckpointStore(directory: staging).save(contents)
      try companions.copy(to: staging)
    }
    if let note = companions.note { Console.note(note) }
    let elements = weights.records.reduce(0) { $0 + $1.byteCount / 4 }
    print("\(to)/step-0: \(weights.records.count) tensors, \(elements) parameters")
  }

  /// transformers saves a model without its modules, and leaves their number in the configuration.
  private func checkModules(_ model: HuggingFaceModel) throws(CheckpointError) {
    guard let layer = model.absentModules.first else { return }
    let count = model.configuration.numNextnPredictLayers
    throw CheckpointError(
      .missing, path: from,
      "holds no weights of layer \(layer), one of \(count) modules of multi-token prediction that config.json counts; "
        + "add them, or set num_nextn_predict_layers to \(layer - model.moduleLayers.lowerBound) in \(from)/config.json"
    )
  }

  /// - Throws: `CheckpointError` that names tensors that the model has no place for.
  private func checkSurplus(_ model: HuggingFaceModel, _ weights: ModelWeights) throws(CheckpointError) {
    let used = Set(weights.records.map(\.name))
    let surplus = model.weights.names.filter { !used.contains($0) && !model.isRedundant($0) }
    guard let first = surplus.first else { return }
    let more = surplus.count > 1 ? " and \(surplus.count - 1) more" : ""
    throw CheckpointError(
      .malformed, path: try model.weights.file(of: first).path,
      "holds \"\(first)\"\(more), which a model of this config.json does not have, or not with these values; "
        + "correct config.json, or remove what does not belong to the model")
  }
}

/// The configuration that an imported checkpoint says it was made with.
enum ImportedRun {
  /// The model as `config.json` has it; of the rest only what evaluation reads, since the run that made the weights is
  /// not known.
  ///
  /// - Throws: `ConfigurationError` for a model that could not be opened again.
  static func configuration(_ model: HuggingFaceModel, _ tokenizer: TokenizerFiles) throws -> RunConfiguration
  {
    var run = RunConfiguration()
    run.model.vocabSize = model.configuration.vocabSize
    run.model.shape = model.configuration
    run.data.synthetic = true
    run.training.steps = 1
    run.training.sequenceLength = min(4096, model.configuration.maxPositionEmbeddings)
    let types = try ModelWeights(model.configuration).records.map { try model.weights.entry($0.name).type }
    run.precision.mode = types.allSatisfy { $0 == .float32 } ? .float32 : .bfloat16
    run = try RunConfiguration.parse(yaml: run.yaml(), source: "\(model.path)/config.json")
    _ = try run.model.resolved(tokenizerVocabSize: tokenizer.tokenizer?.vocabularySize)
    return run
  }
}
