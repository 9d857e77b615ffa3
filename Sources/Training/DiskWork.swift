internal import Foundation
internal import Synchronization
internal import Tensors

/// What a thread of its own does on a disk, while the driver trains or answers other ranks.
final class DiskWork<Value: Sendable>: Sendable {
  private let outcome = Mutex<Value?>(nil)
  private let ended = DispatchSemaphore(value: 0)

  /// Begins.
  /// - Parameter isHurried: whether the driver only waits for it.
  init(isHurried: Bool, _ body: @escaping @Sendable () -> Value) {
    let thread = Thread { [self] in
      // The driver may be pinned to a processor, which its threads inherit.
      ProcessorSet.lent.confine()
      // A tenth of a processor's time where all are busy: what waits for the slowest thread of a loop hardly notices.
      if !isHurried { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10) }
      let value = body()
      outcome.withLock { $0 = value }
      ended.signal()
    }
    thread.name = "hadal-checkpoint"
    thread.stackSize = 8 << 20
    thread.start()
  }

  var hasEnded: Bool { outcome.withLock { $0 != nil } }

  /// What it came to, once it is over. To be called once.
  func wait() -> Value {
    ended.wait()
    guard let value = outcome.withLock({ $0 }) else { preconditionFailure("ended without an outcome") }
    return value
  }
}
