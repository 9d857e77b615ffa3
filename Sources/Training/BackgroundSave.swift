internal import Checkpoint
internal import Foundation
internal import Synchronization
internal import Tensors

/// A save whose file a thread of its own writes while the driver trains.
///
/// That thread knows nothing of other ranks: the drivers ask each other between steps whether all have written.
final class BackgroundSave {
  let step: Int
  private let ranked: RankedSave
  private let writing: Writing
  private let begin = ContinuousClock.now

  /// Starts to write; `snapshot` must be left alone until the save is over.
  init(_ ranked: RankedSave, _ snapshot: StateSnapshot) {
    (self.ranked, step) = (ranked, ranked.save.information.step)
    let writing = Writing()
    self.writing = writing
    let save = ranked.save
    let thread = Thread {
      // The driver may be pinned to a processor, which its threads inherit.
      ProcessorSet.lent.confine()
      // A tenth of a processor's time where all are busy: what waits for the slowest thread of a loop hardly notices.
      setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
      writing.end(Result { () throws(CheckpointError) in try save.write(snapshot.write) })
    }
    thread.name = "hadal-checkpoint"
    thread.stackSize = 8 << 20
    thread.start()
  }

  /// Bytes of this rank's file.
  var length: Int { ranked.save.fileLength }

  var seconds: Double { (ContinuousClock.now - begin) / .seconds(1) }

  /// Whether no rank has anything left to write. Every rank calls this after the same step.
  func isWrittenEverywhere() -> Bool { ranked.isWrittenEverywhere(writing.hasEnded) }

  /// Waits for the file of this rank and those of the others, and makes it a checkpoint. Every rank calls this.
  ///
  /// - Returns: nil on the ranks but the first.
  /// - Throws: `CheckpointError`, the same on all ranks.
  func finish() throws(CheckpointError) -> SavedCheckpoint? { try ranked.finish(writing.wait()) }
}

/// How the thread's part went, once it has.
private final class Writing: Sendable {
  private let outcome = Mutex<Result<FileDigest, CheckpointError>?>(nil)
  private let ended = DispatchSemaphore(value: 0)

  func end(_ result: Result<FileDigest, CheckpointError>) {
    outcome.withLock { $0 = result }
    ended.signal()
  }

  var hasEnded: Bool { outcome.withLock { $0 != nil } }

  /// Once.
  func wait() -> Result<FileDigest, CheckpointError> {
    ended.wait()
    guard let result = outcome.withLock({ $0 }) else { preconditionFailure("ended without an outcome") }
    return result
  }
}
