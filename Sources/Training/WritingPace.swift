internal import Glibc
internal import Synchronization

/// How fast a checkpoint is written beside training: with a tenth of a processor's time, so that steps, which share
/// processors, memory and the disk's host with it, are hardly longer while it is; without rests once somebody waits for
/// it, or the next one comes near.
final class WritingPace: Sendable {
  /// Rests are so many times as long as the processor's time of the work between them. Not of its whole time: how long
  /// others keep the processor, or the disk takes, costs steps nothing.
  private static let rest = 9.0
  /// Bytes between two rests, at most.
  static let piece = 4 << 20

  private let isHurried: Atomic<Bool>

  init(isHurried: Bool) { self.isHurried = Atomic(isHurried) }

  func hurry() { isHurried.store(true, ordering: .relaxed) }

  /// Does a part of the work, then rests as long as it deserves.
  func work<Failure: Error>(_ part: () throws(Failure) -> Void) throws(Failure) {
    let start = Self.processorSeconds
    try part()
    let pause = pause(after: Self.processorSeconds - start)
    if pause > 0 { usleep(UInt32(pause * 1e6)) }
  }

  /// Seconds of rest after so many of work.
  func pause(after seconds: Double) -> Double {
    isHurried.load(ordering: .relaxed) ? 0 : min(seconds * Self.rest, 1)
  }

  /// Of this thread.
  private static var processorSeconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
