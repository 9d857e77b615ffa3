internal import Autograd
package import Checkpoint
package import Communication
internal import Data
internal import Foundation
package import Model
package import Optimization
internal import Parallel
package import Tensors

/// Where a run begins.
package enum ResumeChoice: Sendable, Equatable {
  /// From the newest whole checkpoint of the run directory, if there is one.
  case auto
  /// From the start; refused where checkpoints would be overwritten.
  case never
  /// From a checkpoint, or the newest one of a directory of checkpoints.
  case path(String)
  /// From the start, whatever the run directory holds: for programs that write nothing there.
  case apart
}

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
  /// The save that a thread is writing.
  var saving: BackgroundSave?
  /// Why the last save that was tried has failed; nil if it has not.
  var failedSave: CheckpointError?
  /// The memory of the last copy that was written, for the next one.
  var snapshot: StateSnapshot?
  /// What a person should know about how the run began.
  package private(set) var notes: [String] = []

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
    let clock = ContinuousClock.now
    let start = try Self.start(resume, checkpoints, CheckpointAgreement(world: world))
    let opening = ContinuousClock.now - clock
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
    try begin(start, opening: opening)
  }

  /// What `state.nextSample` counts.
  var identity: DataIdentity {
    DataIdentity(
      tokens: data.training?.fingerprint ?? "synthetic", seed: configuration.training.seed,
      sequenceLength: configuration.training.sequenceLength)
  }

  var runCheckpoint: RunCheckpoint { RunCheckpoint(model, optimizer, identity, ranks?.grid.world) }

  /// - Parameter opening: how long the checkpoint was read and hashed.
  private func begin(
    _ start: (checkpoint: StoredCheckpoint?, rejected: [CheckpointError]), opening: Duration
  ) throws {
    notes += start.rejected.map { "passed over a damaged checkpoint: \($0)" }
    guard let checkpoint = start.checkpoint else {
      initialize()
      return
    }
    let restoring = ContinuousClock.now
    state = try runCheckpoint.restore(checkpoint)
    lastSave = (checkpoint.path, state.step)
    let seconds = (opening + (ContinuousClock.now - restoring)) / .seconds(1)
    let size = ProgressText.memory(bytes: checkpoint.manifest.files.reduce(0) { $0 + $1.digest.length })
    notes.append(
      "resumed from \(checkpoint.path) after step \(state.step) (\(size), read and checked in "
        + "\(ProgressText.digits(seconds)) s)")
    let layers = adoptFallenBackLayers()
    if !layers.isEmpty {
      notes.append(
        "layers \(layers.map(String.init).joined(separator: ", ")) had left FP8 for bfloat16, and are in FP8 again: "
          + "precision.fp8.fall_back is no longer fall_back")
    }
    let changes = identity.differences(from: checkpoint.manifest.state)
    if !changes.isEmpty, state.tokens > 0 {
      notes.append(
        "the samples are not those that the checkpoint was trained on (\(changes.joined(separator: "; "))): "
          + "training goes on at sample \(state.nextSample) of another order")
    }
    if checkpoint.manifest.configuration != configuration.yaml() {
      notes.append(
        "the configuration is not the one that the checkpoint was written with: see its manifest.json")
    }
  }

  /// Initial weights, and moments that have seen nothing.
  func initialize() {
    model.initialize(seed: UInt64(configuration.training.seed))
    for moment in optimizer.moments { moment.tensor.fillWithZeros() }
    state = RunState()
    adoptFallenBackLayers()
  }

  private static func start(
    _ resume: ResumeChoice, _ store: CheckpointStore, _ ranks: CheckpointAgreement
  ) throws -> (checkpoint: StoredCheckpoint?, rejected: [CheckpointError]) {
    let exists = FileManager.default.fileExists(atPath: store.directory)
    switch resume {
    case .never:
      if exists, try !store.list().isEmpty { throw TrainingError.runExists(path: store.directory) }
      return (nil, [])
    case .auto:
      let (checkpoint, rejected) = try ranks.openNewestValid(of: store)
      if checkpoint == nil, !rejected.isEmpty {
        let reasons = rejected.map { "\n  \($0)" }.joined()
        throw TrainingError.cannotResume(
          "\(store.directory): no checkpoint is whole:\(reasons)\nremove the directory to start again")
      }
      return (checkpoint, rejected)
    case .path(let path):
      let checkpoint = try ranks.open { (hashing) throws(CheckpointError) in
        try StoredCheckpoint.find(path, hashing: hashing)
      }
      let step = checkpoint.manifest.step
      if exists, let later = try store.list().first(where: { $0.step > step }) {
        throw TrainingError.cannotResume(
          "\(store.directory): holds step-\(later.step), which is later than \(path): one run has one history; "
            + "choose another run.name to branch off, or remove the later checkpoints")
      }
      return (checkpoint, [])
    case .apart: return (nil, [])
    }
  }
}

@available(*, unavailable)
extension Trainer: Sendable {}

extension StoredCheckpoint {
  /// Opens a checkpoint by its own directory, by a directory of checkpoints, or by a run's directory.
  package static func find(
    _ path: String, hashing: Hashing = .all
  ) throws(CheckpointError) -> StoredCheckpoint {
    let exists = { FileManager.default.fileExists(atPath: $0) }
    let isDirectory = { (path: String) in
      var isDirectory: ObjCBool = false
      return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
    }
    if exists("\(path)/\(Manifest.fileName)") {
      return try StoredCheckpoint(path, hashing: hashing)
    }
    for directory in [path, "\(path)/checkpoints"] where isDirectory(directory) {
      let store = CheckpointStore(directory: directory)
      if exists("\(directory)/latest") { return try store.open(.latest, hashing: hashing) }
      // A process that died between two renames has saved its first checkpoint, but not named it.
      if let newest = try store.list().first { return try store.open(.step(newest.step), hashing: hashing) }
    }
    throw CheckpointError(
      .missing, path: path,
      "is neither a checkpoint (step-N), nor a directory of checkpoints, nor a run's directory")
  }
}

extension PrecisionSection.Mode {
  /// How weights and activations are stored where they are not codes.
  package var dtype: DType {
    switch self {
    case .float32: .float32
    case .bfloat16, .fp8: .bfloat16
    }
  }
}
