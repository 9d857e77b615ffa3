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
    let start = ContinuousClock.now
    let awaited = transfer.pending.first
    defer { if !isHidden { endpoint.exposed(awaited, since: start) } }
    var nextReport = min(1, endpoint.timeout / 4)
    while try !isComplete() {
      let seconds = (ContinuousClock.now - start).inSeconds
      if seconds > nextReport {
        nextReport = seconds + min(1, endpoint.timeout / 4)
        try report(since: start, isOver: seconds > endpoint.timeout)
      }
      Self.pause(after: seconds)
    }
    // Not after an error: what it waited for is what the others ask about.
    endpoint.board.endWait()
  }

  /// Puts what is missing where the motor can read it, and gives up when the time is over.
  private func report(since start: ContinuousClock.Instant, isOver: Bool) throws(CommunicationError) {
    try transfer.sift(endpoint.transport)
    let missing = transfer.pending
    endpoint.board.wait(for: missing, since: start)
    guard isOver, !missing.isEmpty else { return }
    throw .timeout(waitingFor: missing, seconds: (ContinuousClock.now - start).inSeconds)
  }

  /// Between two looks: at first nothing, then a sleep, longer in a longer wait, so that ranks which share processors
  /// do not take them from each other. No `sched_yield`: beside anything that computes it costs a whole time slice.
  static func pause(after seconds: Double) {
    guard seconds > 50e-6 else { return }
    usleep(UInt32(min(max(seconds / 16, 20e-6), 500e-6) * 1e6))
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
