internal import Checkpoint

/// A save whose disk work threads of their own do: this rank's file, then on rank 0 what makes it a checkpoint, then the
/// removal of old ones.
///
/// The threads know nothing of other ranks: the drivers ask each other whether all are through with a stage. However
/// long a disk takes, ranks answer each other meanwhile, so `communication.timeout` is no limit for disks.
final class BackgroundSave {
  private enum Stage {
    case writing(DiskWork<Result<FileDigest, CheckpointError>>)
    /// nil on the ranks but the first.
    case committing(DiskWork<Result<SavedCheckpoint, CheckpointError>>?)
    /// nil on the ranks but the first.
    case removing(DiskWork<SavedCheckpoint>?)
    case over
  }

  /// What has come about.
  enum Event {
    /// All files are on the disk.
    case written
    /// It is a checkpoint; nil on the ranks but the first.
    case durable(SavedCheckpoint?)
    /// What is no longer kept is removed; nil on the ranks but the first.
    case over(SavedCheckpoint?)
  }

  let step: Int
  private let ranked: RankedSave
  private var stage: Stage
  private let begin = ContinuousClock.now
  let isHurried: Bool
  let pace: WritingPace
  /// Since when the driver only waits for it.
  private var waitBegin: ContinuousClock.Instant?
  /// Seconds of that after which it is said; then after twice as many, and so on.
  var patience = 60.0

  /// Begins to write; what `elements` reads must be left alone until `.written`.
  /// - Parameter isHurried: whether the driver only waits for it.
  init(_ ranked: RankedSave, isHurried: Bool, _ elements: @escaping ShardedSave.Elements) {
    (self.ranked, self.isHurried, step) = (ranked, isHurried, ranked.save.information.step)
    let (save, pace) = (ranked.save, WritingPace(isHurried: isHurried))
    self.pace = pace
    let paced: ShardedSave.Elements = { (slice, write) throws(CheckpointError) in
      try elements(slice) { (bytes) throws(CheckpointError) in
        for begin in stride(from: 0, to: bytes.count, by: WritingPace.piece) {
          let piece = bytes[begin..<min(begin + WritingPace.piece, bytes.count)]
          try pace.work { () throws(CheckpointError) in try write(UnsafeRawBufferPointer(rebasing: piece)) }
        }
      }
    }
    // Only the thread reads it until the driver knows that it has ended.
    nonisolated(unsafe) let elements = paced
    stage = .writing(
      DiskWork(isHurried: isHurried) { Result { () throws(CheckpointError) in try save.write(elements) } })
  }

  /// Bytes of this rank's file.
  var length: Int { ranked.save.fileLength }

  var seconds: Double { (ContinuousClock.now - begin) / .seconds(1) }

  var isOver: Bool { if case .over = stage { true } else { false } }

  /// Whether nothing is left of it but the removal of old checkpoints.
  var isDurable: Bool { if case .removing = stage { true } else { false } }

  /// Whether this rank's part of the stage is.
  private var hasEnded: Bool {
    switch stage {
    case .writing(let work): work.hasEnded
    case .committing(let work): work?.hasEnded ?? true
    case .removing(let work): work?.hasEnded ?? true
    case .over: true
    }
  }

  /// Goes on to the next stage if all ranks are through with this one. Every rank calls this at the same time.
  ///
  /// - Parameters:
  ///   - isPatient: whether to wait for the others, and for the own disk.
  ///   - waiting: what is said of a long wait; gets the seconds so far.
  /// - Returns: nil while a rank is not.
  /// - Throws: `CheckpointError`, the same on all ranks; the save is over then.
  func advance(
    isPatient: Bool = false, waiting: (Double) -> Void = { _ in }
  ) throws(CheckpointError) -> Event? {
    if isOver { return nil }
    let agreement = ranked.agreement
    if isPatient {
      pace.hurry()
      let begin = waitBegin ?? .now
      waitBegin = begin
      agreement.wait(
        until: { hasEnded },
        meanwhile: {
          let seconds = (ContinuousClock.now - begin) / .seconds(1)
          guard seconds > patience else { return }
          patience *= 2
          waiting(seconds)
        })
    } else if !agreement.everywhere(hasEnded) {
      return nil
    }
    let (stage, save) = (stage, ranked.save)
    self.stage = .over
    switch stage {
    case .writing(let work):
      let digests = try ranked.digests(work.wait())
      self.stage = .committing(
        onFirst { Result { () throws(CheckpointError) in try save.makeDurable(digests) } })
      return .written
    case .committing(let work):
      let saved = try ranked.committed(work?.wait())
      self.stage = .removing(saved.flatMap { saved in onFirst { save.removeOld(after: saved) } })
      return .durable(saved)
    case .removing(let work): return .over(work?.wait())
    case .over: return nil
    }
  }

  private func onFirst<Value: Sendable>(_ body: @escaping @Sendable () -> Value) -> DiskWork<Value>? {
    ranked.agreement.rank == 0 ? DiskWork(isHurried: isHurried, body) : nil
  }
}
