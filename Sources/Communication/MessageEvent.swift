/// Something that a rank did with messages while it was recorded.
package struct MessageEvent: Sendable {
  package enum What: String, Sendable {
    /// A message was handed to the transport.
    case sent
    /// Nothing was computed until a message had come, or had left.
    case waited
  }

  package let what: What
  package let purpose: Purpose
  /// Rank of the world at the other end.
  package let peer: Int
  package let bytes: Int
  /// The same instant twice for what was sent.
  package let start, end: ContinuousClock.Instant

  init(
    _ what: What, _ message: MessageDescription, _ start: ContinuousClock.Instant,
    _ end: ContinuousClock.Instant
  ) {
    (self.what, purpose, peer, bytes) = (what, message.purpose, message.peer, message.bytes)
    (self.start, self.end) = (start, end)
  }
}

extension Communicator {
  /// Begins to record what this rank sends and waits for, over all communicators.
  package func startRecording() { endpoint.events = [] }

  /// Ends the recording.
  /// - Returns: what was recorded, in the order in which it ended.
  package func stopRecording() -> [MessageEvent] {
    defer { endpoint.events = nil }
    return endpoint.events ?? []
  }
}
