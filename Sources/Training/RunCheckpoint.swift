package import Checkpoint
package import Communication
package import Model
package import Optimization
internal import Parallel
internal import Tensors

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

  /// Every rank writes its part; once this returns, the checkpoint is on the disk.
  ///
  /// - Parameter configuration: resolved, as YAML.
  /// - Returns: nil on the ranks but the first.
  /// - Throws: `CheckpointError`, the same on all ranks; a message that fails ends the job.
  package func save(
    _ state: RunState, configuration: String, to store: CheckpointStore
  ) throws(CheckpointError) -> SavedCheckpoint? {
    let save = BackgroundSave(
      try begin(state, configuration: configuration, to: store), isHurried: true, elements)
    var saved: SavedCheckpoint?
    while let event = try save.advance(isPatient: true) {
      if case .over(let checkpoint) = event { saved = checkpoint }
    }
    return saved
  }

  /// Plans a save, and makes its directory.
  func begin(
    _ state: RunState, configuration: String, to store: CheckpointStore
  ) throws(CheckpointError) -> RankedSave {
    let list = PieceList(pieces, world, Waiter())
    let plan = ShardPlan(
      list.holdings.map { holdings in
        holdings.map { ShardPlan.Holding($0.record.tensorRecord, $0.range) }
      })
    let information = CheckpointInformation(
      configuration: configuration, step: state.step, tokens: state.tokens, nextSample: state.nextSample,
      state: data.state.merging(state.values) { own, _ in own })
    return try RankedSave(store, information, plan, CheckpointAgreement(world: world))
  }

  /// Gives the elements of a slice as they are now.
  var elements: ShardedSave.Elements {
    let own = Dictionary(grouping: pieces, by: \.name)
    return { (slice, write) throws(CheckpointError) in
      let piece = own[slice.name]?.first {
        $0.range.lowerBound <= slice.elements.lowerBound && $0.range.upperBound >= slice.elements.upperBound
      }
      guard let piece else { preconditionFailure("\(slice.record.name) is not on this rank") }
      let (first, width) = (slice.elements.lowerBound - piece.range.lowerBound, slice.record.type.width)
      let bytes = piece.tensor.bytes[first * width..<first * width + slice.record.byteCount]
      try write(UnsafeRawBufferPointer(rebasing: bytes))
    }
  }

  /// Nothing is changed unless the checkpoint holds exactly the tensors of this run, with the right shapes: a smaller
  /// model that began with a part of them would lose the rest at the next save. Of the files this rank reads what it
  /// holds, and answers the others meanwhile.
  ///
  /// - Throws: `CheckpointError`, the same on all ranks.
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
    let agreement = CheckpointAgreement(world: world)
    try model.loadWeights { (weights: [NamedTensor]) throws(CheckpointError) in
      // Only the thread that reads touches them until the driver knows that it has ended.
      nonisolated(unsafe) let (checkpoint, weights, moments) = (checkpoint, weights, moments)
      let read = agreement.answering {
        Result { () throws(CheckpointError) in
          try checkpoint.requireReadable(weights.map(\.record) + moments.map(\.record))
          try checkpoint.load(into: weights)
          for piece in moments { try checkpoint.fill(piece.tensor, with: piece.name, elements: piece.range) }
          return ""
        }
      }
      _ = try agreement.all(read)
    }
    return state
  }
}

extension TensorPiece {
  fileprivate var record: TensorRecord {
    TensorRecord(name: name, type: tensor.dtype.scalarType, shape: shape)
  }
}

extension PieceList.Record {
  fileprivate var tensorRecord: TensorRecord {
    TensorRecord(name: name, type: dtype.scalarType, shape: shape)
  }
}
