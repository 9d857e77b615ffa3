internal import Foundation
internal import Synchronization

/// What a rank waits for, where its other threads can read it.
final class WaitBoard: Sendable {
  private struct State {
    var title = ""
    /// As in "action 12 of 40, F0.3"; empty where nothing is known.
    var activity = ""
    var waiting: (since: ContinuousClock.Instant, messages: [MessageDescription])?
    var hasTold = false
  }
  private let state = Mutex(State())

  /// - Parameter title: as in "rank 2 of 8 (node-b, process 4711)".
  func name(_ title: String) { state.withLock { $0.title = title } }

  func isDoing(_ activity: String) { state.withLock { $0.activity = activity } }

  func wait(for messages: [MessageDescription], since start: ContinuousClock.Instant) {
    state.withLock { $0.waiting = (start, messages) }
  }

  func endWait() { state.withLock { $0.waiting = nil } }

  /// Prints what this rank does, once: another rank has given up, and the job is about to end.
  func tell(because peer: Int) {
    let waiting = state.withLock { $0.waiting }
    guard let waiting else {
      return write(
        "rank \(peer) has given up; this one waits for nothing: it computes, or is stuck elsewhere")
    }
    let seconds = (ContinuousClock.now - waiting.since).inSeconds
    write(
      "rank \(peer) has given up; this one has waited \(CommunicationError.rounded(seconds)) s"
        + CommunicationError.list(waiting.messages))
  }

  /// Prints one block, the first time only: what follows says the same with less knowledge.
  func write(_ text: String) {
    let title = state.withLock { state in
      defer { state.hasTold = true }
      return state.hasTold ? nil : state.title + (state.activity.isEmpty ? "" : ", at \(state.activity)")
    }
    guard let title else { return }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)\n" }
    // One call, so that the blocks of several ranks do not mix.
    FileHandle.standardError.write(Data("hadal: \(title):\n\(lines.joined())".utf8))
  }
}

extension Duration {
  var inSeconds: Double {
    let (seconds, attoseconds) = components
    return Double(seconds) + Double(attoseconds) * 1e-18
  }
}
