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
    optimizer.weights + model.buffers.map(TensorPiece.init) + optimizer.moments
  }

  /// The state of a checkpoint of weights alone, such as one that was imported: moments are zero, and not stored.
  package static let withoutMoments: [String: StateValue] = ["optimizer.moments": .string("zero")]

  private static func hasMoments(_ state: [String: StateValue]) -> Bool {
    !withoutMoments.allSatisfy { state[$0] == $1 }
  }

  /// How many ranks have saved it: says whether sums are formed in the same order after resuming.
  static let ranksKey = "parallel.ranks"

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
    var values = data.state.merging(state.values) { own, _ in own }
    values[Self.ranksKey] = .integer(world?.size ?? 1)
    let information = CheckpointInformation(
      configuration: configuration, step: state.step, tokens: state.tokens, nextSample: state.nextSample,
      state: values)
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

  /// Makes sure that the checkpoint holds exactly the tensors of this run, with the right shapes: a smaller model that
  /// began with a part of them would lose the rest at the next save. Nothing is changed yet.
  ///
  /// - Throws: `CheckpointError`, the same on all ranks.
  func restoration(from checkpoint: StoredCheckpoint) throws(CheckpointError) -> Restoration {
    let names = PieceList(pieces, world, Waiter()).records.map(\.name)
    let surplus = Set(checkpoint.names).subtracting(names).sorted()
    if let first = surplus.first {
      throw CheckpointError(
        .malformed, path: checkpoint.path,
        "holds \(surplus.count) tensors that this model does not have (\(first), …): a run cannot go on with a "
          + "smaller model; restore its configuration, or begin a new run")
    }
    let agreement = CheckpointAgreement(world: world)
    let hasMoments = Self.hasMoments(checkpoint.manifest.state)
    let wanted = model.namedTensors.map(TensorPiece.init) + (hasMoments ? optimizer.moments : [])
    let readable = Result { () throws(CheckpointError) in try checkpoint.requireReadable(wanted.map(\.record))
    }
    _ = try agreement.all(readable.map { "" })
    return Restoration(
      model: model, moments: optimizer.moments, checkpoint: checkpoint, hasMoments: hasMoments,
      state: try RunState(checkpoint.manifest, path: checkpoint.path), agreement: agreement)
  }
}

/// A checkpoint that a run can take its state from.
struct Restoration {
  fileprivate let model: DeepSeek
  fileprivate let moments: [TensorPiece]
  fileprivate let checkpoint: StoredCheckpoint
  /// Those of an optimizer that has not made a step yet are zero, and not stored.
  fileprivate let hasMoments: Bool
  fileprivate let state: RunState
  fileprivate let agreement: CheckpointAgreement

  /// Fills weights, router biases and moments, and hashes the files meanwhile; each rank hashes its share of them, and
  /// answers the others.
  ///
  /// - Throws: `CheckpointError`, the same on all ranks, if a file is damaged; then what the tensors hold means nothing, and
  ///   the run goes on from another checkpoint or ends.
  func run() throws(CheckpointError) -> RunState {
    if !hasMoments { for moment in moments { moment.tensor.fillWithZeros() } }
    try model.loadWeights { (weights: [NamedTensor]) throws(CheckpointError) in
      // Only the threads that read touch them until the driver knows that they have ended.
      nonisolated(unsafe) let checkpoint = checkpoint
      nonisolated(unsafe) let pieces = weights.map(TensorPiece.init) + (hasMoments ? moments : [])
      let share = StoredCheckpoint.Hashing.share(rank: agreement.rank, of: agreement.ranks)
      let read = agreement.answering {
        Result { () throws(CheckpointError) in
          try checkpoint.load(into: pieces, hashing: share)
          return ""
        }
      }
      _ = try agreement.all(read)
    }
    return state
  }
}

extension PieceList.Record {
  fileprivate var tensorRecord: TensorRecord {
    TensorRecord(name: name, type: dtype.scalarType, shape: shape)
  }
}
