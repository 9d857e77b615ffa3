internal import Glibc
internal import Synchronization

/// How fast a checkpoint is written beside training: a tenth of the time, so that steps, which share processors, memory
/// and the disk's host with it, are hardly longer while it is; without rests once somebody waits for it.
final class WritingPace: Sendable {
  /// Of the time, in which it rests.
  private static let rest = 0.9
  /// Bytes between two rests, at most.
  static let piece = 4 << 20

  private let isHurried: Atomic<Bool>

  init(isHurried: Bool) { self.isHurried = Atomic(isHurried) }

  func hurry() { isHurried.store(true, ordering: .relaxed) }

  /// Does a part of the work, then rests as long as it deserves.
  func work<Failure: Error>(_ part: () throws(Failure) -> Void) throws(Failure) {
    let start = ContinuousClock.now
    try part()
    guard !isHurried.load(ordering: .relaxed) else { return }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    usleep(UInt32(min(seconds * Self.rest / (1 - Self.rest), 1) * 1e6))
  }
}
