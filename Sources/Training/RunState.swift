package import Checkpoint
package import Communication
package import Model
package import Optimization
internal import Parallel
internal import Tensors

/// Where a run stands, beside its tensors.
package struct RunState: Sendable, Equatable {
  /// Optimizer steps done, those that were skipped included.
  package var step = 0
  /// Steps that made no update: the optimizer's own count is `step - skippedSteps`.
  package var skippedSteps = 0
  /// Tokens trained on, those of skipped steps included.
  package var tokens = 0
  /// The global index of the first sample that was not trained on.
  package var nextSample = 0
  package var nonFinite = NonFiniteSteps()
  /// Layers whose FP8 matrices are multiplied in bfloat16, as they passed a limit.
  package var fallenBackLayers: Set<Int> = []

  package init() {}

  private static let fallenBackKey = "fp8.fallen_back"

  /// What a manifest has no field for, under the names that a checkpoint's `state` has.
  private static var counters: [(key: String, path: WritableKeyPath<RunState, Int>)] {
    [
      ("steps.skipped", \.skippedSteps), ("non_finite.steps", \.nonFinite.total),
      ("non_finite.in_a_row", \.nonFinite.inARow), ("non_finite.furthest", \.nonFinite.furthest),
    ]
  }

  fileprivate var values: [String: StateValue] {
    var values: [String: StateValue] = [:]
    for (key, place) in Self.counters { values[key] = .integer(self[keyPath: place]) }
    if !fallenBackLayers.isEmpty {
      values[Self.fallenBackKey] = .string(fallenBackLayers.sorted().map(String.init).joined(separator: ","))
    }
    return values
  }

  /// The layers that had fallen back when a checkpoint was saved.
  /// - Throws: `CheckpointError` when they are no list of natural numbers.
  package static func fallenBackLayers(
    in manifest: Manifest, path: String
  ) throws(CheckpointError) -> Set<Int> {
    guard let value = manifest.state[fallenBackKey] else { return [] }
    if case .string(let text) = value {
      let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? -1 }
      if numbers.allSatisfy({ $0 >= 0 }) { return Set(numbers) }
    }
    throw CheckpointError(
      .malformed, path: path,
      "the state \(fallenBackKey) should be numbers of layers with commas, but is \(value.text)")
  }

  /// - Throws: `CheckpointError` when a counter is no natural number, or more steps were skipped than done.
  fileprivate init(_ manifest: Manifest, path: String) throws(CheckpointError) {
    (step, tokens, nextSample) = (manifest.step, manifest.tokens, manifest.nextSample)
    for (key, place) in Self.counters {
      switch manifest.state[key] {
      case .integer(let count) where count >= 0: self[keyPath: place] = count
      // Checkpoints of earlier versions: their runs stopped at the first such step.
      case nil: self[keyPath: place] = 0
      case let value?:
        throw CheckpointError(
          .malformed, path: path, "the state \(key) should be a count, but is \(value.text)")
      }
    }
    fallenBackLayers = try Self.fallenBackLayers(in: manifest, path: path)
    guard skippedSteps <= step else {
      throw CheckpointError(
        .malformed, path: path, "the state steps.skipped is \(skippedSteps), after \(step) steps")
    }
  }
}

/// Saves and restores all that a run needs to go on bit by bit: weights, router biases, moments, position.
package struct RunCheckpoint {
  package let model: DeepSeek
  package let optimizer: Optimizer
  package let data: DataIdentity
  /// The ranks that hold pieces of the tensors; nil for one alone.
  private let world: Communicator?

  package init(
    _ model: DeepSeek, _ optimizer: Optimizer, _ data: DataIdentity, _ world: Communicator? = nil
  ) {
    (self.model, self.optimizer, self.data, self.world) = (model, optimizer, data, world)
  }

  private var pieces: [TensorPiece] {
    let buffers = model.buffers.map {
      TensorPiece(name: $0.name, shape: $0.tensor.shape, range: 0..<$0.tensor.count, tensor: $0.tensor)
    }
    return optimizer.weights + buffers + optimizer.moments
  }

  /// The state of a checkpoint of weights alone, such as one that was imported: moments are zero, and not stored.
  package static let withoutMoments: [String: StateValue] = ["optimizer.moments": .string("zero")]

  private static func hasMoments(_ state: [String: StateValue]) -> Bool {
    !withoutMoments.allSatisfy { state[$0] == $1 }
  }

  /// Rank 0 writes, and asks the others for what they hold, tensor by tensor.
  ///
  /// - Parameter configuration: resolved, as YAML.
  /// - Returns: nil on the other ranks, once the checkpoint is on the disk.
  /// - Throws: `CheckpointError`; a message that fails ends the job.
  package func save(
    _ state: RunState, configuration: String, to store: CheckpointStore
  ) throws(CheckpointError) -> SavedCheckpoint? {
    let waiter = Waiter()
    let list = PieceList(pieces, world, waiter)
    guard world?.rank ?? 0 == 0 else {
      list.serve()
      return nil
    }
    let contents = CheckpointContents(
      configuration: configuration, step: state.step, tokens: state.tokens, nextSample: state.nextSample,
      state: data.state.merging(state.values) { own, _ in own },
      tensors: list.records.map { TensorRecord(name: $0.name, type: $0.dtype.scalarType, shape: $0.shape) }
    ) { (name, write) throws(CheckpointError) in try write(list.whole(name, on: model.device).bytes) }
    let saved = try store.save(contents)
    list.close()
    return saved
  }

  /// Nothing is changed unless the checkpoint holds exactly the tensors of this run, with the right shapes: a smaller
  /// model that began with a part of them would lose the rest at the next save.
  package func restore(_ checkpoint: StoredCheckpoint) throws(CheckpointError) -> RunState {
    // Those of an optimizer that has not made a step yet are zero.
    let moments = Self.hasMoments(checkpoint.manifest.state) ? optimizer.moments : []
    let names = PieceList(pieces, world, Waiter()).records.map(\.name)
    let surplus = Set(checkpoint.names).subtracting(names).sorted()
    if let first = surplus.first {
      throw CheckpointError(
        .malformed, path: checkpoint.path,
        "holds \(surplus.count) tensors that this model does not have (\(first), …): a run cannot go on with a "
          + "smaller model; restore its configuration, or begin a new run")
    }
    let state = try RunState(checkpoint.manifest, path: checkpoint.path)
    try model.loadWeights { (weights: [NamedTensor]) throws(CheckpointError) in
      try checkpoint.requireReadable(weights.map(\.record) + moments.map(\.record))
      try checkpoint.load(into: weights)
      for piece in moments { try load(piece, from: checkpoint) }
    }
    return state
  }

  private func load(_ piece: TensorPiece, from checkpoint: StoredCheckpoint) throws(CheckpointError) {
    guard piece.isWhole else {
      let whole = Tensor(piece.shape, piece.tensor.dtype, on: model.device)
      try checkpoint.load(into: [NamedTensor(name: piece.name, tensor: whole)])
      return piece.tensor.copy(whole.view(at: piece.range.lowerBound, [piece.range.count]))
    }
    try checkpoint.load(into: [NamedTensor(name: piece.name, tensor: piece.tensor.reshaped(piece.shape))])
  }
}

extension TensorPiece {
  fileprivate var record: TensorRecord {
    TensorRecord(name: name, type: tensor.dtype.scalarType, shape: shape)
  }
}
