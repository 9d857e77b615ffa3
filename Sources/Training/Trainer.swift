internal import Autograd
internal import Checkpoint
package import Communication
internal import Data
package import Model
package import Optimization
internal import Parallel
package import Tensors

/// A training run on one rank: data, model, optimizer and where they stand.
package final class Trainer {
  /// With the vocabulary filled in.
  package let configuration: RunConfiguration
  package let model: DeepSeek
  package let optimizer: Optimizer
  /// The ranks that train together; nil for one alone.
  package let ranks: TrainingRanks?
  let data: TrainingData
  let source: BatchSource
  let schedule: LearningRateSchedule
  package let runner: StepRunner
  /// A variable so that tests can put a faulty disk under it.
  var store: CheckpointStore
  package internal(set) var state = RunState()
  /// Where the run was when it was last saved: the checkpoint, or nil for the initial weights.
  var lastSave: (path: String?, step: Int) = (nil, 0)
  var trace: TraceFile
  /// Seconds of waiting for a disk after which that is said; a variable so that tests need not wait so long.
  var diskPatience = 60.0
  /// The save that a thread is writing.
  var saving: BackgroundSave?
  /// Why the last save that was tried has failed; nil if it has not.
  var failedSave: CheckpointError?
  /// The memory of the last copy that was written, for the next one.
  var snapshot: StateSnapshot?
  /// What a person should know about how the run began.
  package internal(set) var notes: [String] = []

  /// Opens the data, builds the model and restores or initializes it. Nothing is written.
  ///
  /// - Parameter world: the ranks that were started; nil for one alone.
  /// - Throws: `ConfigurationError`, `ShardError`, `CheckpointError`, `TrainingError`, `DeviceError`,
  ///   `CommunicationError`.
  package init(
    _ configuration: RunConfiguration, resume: ResumeChoice, world: Communicator? = nil,
    device request: DeviceRequest = DeviceRequest(pinning: .no)
  ) throws {
    data = try TrainingData(configuration.data)
    if configuration.evaluation.every != nil, data.validation == nil {
      throw TrainingError.noValidation(path: configuration.data.directory ?? "data")
    }
    let shape = try configuration.model.resolved(
      tokenizerVocabSize: data.training?.vocabularySize, endOfText: data.training?.endOfText)
    var configuration = configuration
    configuration.model.vocabSize = shape.vocabSize
    let checkpoints = CheckpointStore(
      directory: configuration.checkpointDirectory, keep: configuration.checkpoint.keep)
    let start = try ResumePoint(resume, checkpoints, CheckpointAgreement(world: world))
    source = try data.source(configuration, model: shape)
    let layout = try RankLayout(configuration, shape, nodes: world?.nodes ?? [0])
    try MemoryCheck(training: shape, configuration, layout, rank: world?.rank ?? 0).run()
    let grid = try layout.grid(world)
    let device = try Device(threads: configuration.training.threads, request)
    model = DeepSeek(
      shape, compute: configuration.precision.mode.dtype, float8: Float8Policy(configuration.precision),
      packedFor: configuration.training.packedWeights.layouts, share: grid?.share ?? .all,
      stages: layout.stages(of: grid?.stage ?? 0), on: device)
    let section = configuration.parallel
    let rowLimit = grid.flatMap { configuration.rowLimit(expertRanks: $0.expert, model: shape) }
    ranks = grid.map { [model] grid in
      TrainingRanks(
        grid, model, pipeline: layout.plan, gradients: section.gradients.payload, overlaps: section.overlap,
        isTwoLevel: section.exchange.isTwoLevel(on: grid.expertRanks.nodes), rowLimit: rowLimit)
    }
    optimizer = Optimizer(
      model.slots(owned: ranks?.shards.owned), AdamWSettings(configuration.optimizer),
      moments: configuration.optimizer.moments == .float32 ? .float32 : .bfloat16)
    var runner = StepRunner(model)
    runner.ranks = ranks
    runner.recomputation = Recomputation(configuration.training.recompute)
    runner.balance = BalanceLosses(configuration.training, shape)
    (self.runner, self.configuration, store) = (runner, configuration, checkpoints)
    trace = TraceFile(path: "\(configuration.runDirectory)/trace.json")
    schedule = configuration.learningRateSchedule(shares: ranks?.shares ?? 1)
    if let ranks = grid?.expertRanks, Set(ranks.nodes).count < ranks.size,
      configuration.communication.sharedMemory, let fault = ranks.nodeMemoryFault
    {
      notes.append("tokens travel as messages within a node too: \(fault)")
    }
    try begin(at: start)
  }

  /// What `state.nextSample` counts.
  var identity: DataIdentity {
    DataIdentity(
      tokens: data.training?.fingerprint ?? "synthetic", seed: configuration.training.seed,
      sequenceLength: configuration.training.sequenceLength)
  }

  var runCheckpoint: RunCheckpoint { RunCheckpoint(model, optimizer, identity, ranks?.grid.world) }

  /// Initial weights, and moments that have seen nothing.
  func initialize() {
    model.initialize(seed: UInt64(configuration.training.seed))
    for moment in optimizer.moments { moment.tensor.fillWithZeros() }
    state = RunState()
    adoptFallenBackLayers()
  }
}

@available(*, unavailable)
extension Trainer: Sendable {}

extension PrecisionSection.Mode {
  /// How weights and activations are stored where they are not codes.
  package var dtype: DType {
    switch self {
    case .float32: .float32
    case .bfloat16, .fp8: .bfloat16
    }
  }
}
