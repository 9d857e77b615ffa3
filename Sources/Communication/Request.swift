internal import Glibc

/// Messages under way. Somebody has to wait for it, once; a request that is dropped before is given up, and told of
/// when the world is closed.
package final class Request {
  private var transfer: any Transfer
  private let endpoint: Endpoint
  private let number: Int
  private var owner: AnyObject?
  private var isOver = false
  private var wasAwaited = false

  init(_ transfer: any Transfer, owner: AnyObject?, of endpoint: Endpoint) {
    (self.transfer, self.owner, self.endpoint) = (transfer, owner, endpoint)
    number = endpoint.begin(transfer.pending)
  }

  /// Moves what can be moved; true when the memory belongs to the caller again.
  ///
  /// - Throws: `CommunicationError` when the lengths of the two sides differ or the library fails.
  package func isComplete() throws(CommunicationError) -> Bool {
    if isOver { return true }
    guard try transfer.advance(endpoint.transport) else { return false }
    finish()
    return true
  }

  /// Returns when the memory belongs to the caller again.
  ///
  /// - Parameter isHidden: true where something else computes meanwhile: the time then does not count as exposed.
  /// - Throws: `CommunicationError`, `.timeout` when the limit of the world has passed.
  package func wait(hidden isHidden: Bool = false) throws(CommunicationError) {
    precondition(!wasAwaited, "a request is awaited twice: \(transfer.pending)")
    wasAwaited = true
    if try isComplete() { return }
    var watch = Stopwatch()
    defer { if !isHidden { endpoint.counters.addExposed(seconds: watch.seconds) } }
    while try !isComplete() {
      if watch.seconds > endpoint.timeout {
        throw .timeout(waitingFor: transfer.pending, seconds: watch.seconds)
      }
      watch.pause()
    }
  }

  private func finish() {
    isOver = true
    owner = nil
    endpoint.end(number)
  }

  deinit {
    if !isOver { endpoint.abandon(number, transfer, owner: owner) }
  }
}

/// Returns when all of them are complete.
///
/// - Throws: as `Request.wait(hidden:)`.
package func waitAll(_ requests: [Request], hidden isHidden: Bool = false) throws(CommunicationError) {
  for request in requests { try request.wait(hidden: isHidden) }
}

/// How long a wait has lasted, and what it does between two looks: at first it lets others run, then it sleeps, so
/// that ranks which share processors do not take them from each other.
private struct Stopwatch {
  private let start = ContinuousClock.now

  var seconds: Double {
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    return Double(seconds) + Double(attoseconds) * 1e-18
  }

  mutating func pause() {
    if seconds < 200e-6 { sched_yield() } else { usleep(20) }
  }
}
