internal import Foundation
internal import Synchronization

/// The thread that turns MPI while kernels run: long transfers move only inside calls of the library.
///
/// It also listens for the alarm of a rank that has given up, and then prints what this one waits for.
final class Motor: Sendable {
  private let condition = NSCondition()
  private let isStopped = Atomic<Bool>(false)
  private let isAsleep = Atomic<Bool>(false)
  private let gate: MPIGate
  private let board: WaitBoard
  private let interval: Double?

  /// How often it looks for an alarm while no chunk is under way, in seconds.
  private static let calm = 0.1

  /// The longest pause while chunks are under way, in intervals. Whether one has moved is not known here, as only the
  /// driver tests them; but the buffers of sockets last for longer than ten intervals, and threads that wake too often
  /// take the processor from those that compute.
  private static let slowest = 10.0

  /// - Parameter interval: seconds between two turns when the driver has begun or ended a chunk; nil: only listens for alarms.
  init(gate: MPIGate, board: WaitBoard, interval: Double?) {
    (self.gate, self.board, self.interval) = (gate, board, interval)
    let thread = Thread { [self] in run() }
    thread.name = "hadal-motor"
    thread.stackSize = 1 << 20
    thread.start()
  }

  /// There is something to move.
  func wake() {
    // The chunk has been counted before: either the motor is not asleep yet and will see it, or it is.
    guard isAsleep.load(ordering: .sequentiallyConsistent) else { return }
    condition.withLock { condition.signal() }
  }

  func stop() {
    isStopped.store(true, ordering: .sequentiallyConsistent)
    condition.withLock { condition.signal() }
  }

  private func run() {
    var (seen, pace) = (0, 0.0)
    while !isStopped.load(ordering: .sequentiallyConsistent) {
      do throws(CommunicationError) {
        if let peer = try gate.turn() { board.tell(because: peer) }
      } catch {
        // The driver meets the same error in its next call, and ends the job.
        return board.write("the motor stops: \(error)")
      }
      let state = gate.state
      if let interval, state.chunks > 0 {
        pace = state.changes == seen ? min(pace * 1.25, interval * Self.slowest) : interval
        seen = state.changes
        usleep(UInt32(pace * 1e6))
      } else {
        sleep()
      }
    }
  }

  private func sleep() {
    condition.lock()
    defer { condition.unlock() }
    isAsleep.store(true, ordering: .sequentiallyConsistent)
    defer { isAsleep.store(false, ordering: .sequentiallyConsistent) }
    guard !isStopped.load(ordering: .sequentiallyConsistent), interval == nil || gate.state.chunks == 0 else {
      return
    }
    _ = condition.wait(until: Date(timeIntervalSinceNow: Self.calm))
  }
}
