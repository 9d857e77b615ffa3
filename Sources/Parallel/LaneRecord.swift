package import Pipeline

/// When a rank did what in one run of its lane.
package struct LaneRecord: Sendable {
  /// One action.
  package struct Event: Sendable {
    package let action: Action
    /// The forward after it in the lane, where they ran as two strands.
    let beside: Cell?
    /// While what it begins with was awaited, not its second strand; it begins at the end of this.
    package let waited: Range<ContinuousClock.Instant>
    package let end: ContinuousClock.Instant
    /// Seconds of it in which nothing was computed, as it waited for messages of its own.
    package let exposed: Double
    /// Of these, seconds in which it waited for what its second strand begins with.
    let awaited: Double
    /// When its weight gradients were computed that it left for later, as far as that was between it and the next
    /// action.
    package fileprivate(set) var weights: [Range<ContinuousClock.Instant>] = []

    /// As in a lane: `F1.0`, and two forwards `F1.0&F0.1`.
    package var name: String { beside.map { "\(action)&F\($0)" } ?? "\(action)" }

    /// Seconds in which it computed.
    var busy: Double { seconds + secondsOfWeights - exposed }
    /// Seconds that it took, without what it left for later.
    private var seconds: Double { (end - waited.upperBound) / .seconds(1) }
    /// The same without waits for other places of the pipeline.
    var cost: Double { seconds - awaited }
    var secondsOfWeights: Double {
      weights.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) / .seconds(1) }
    }
  }

  package let begin: ContinuousClock.Instant
  package internal(set) var end: ContinuousClock.Instant
  package private(set) var events: [Event] = []

  init(begin: ContinuousClock.Instant) { (self.begin, end) = (begin, begin) }

  mutating func add(_ event: Event) { events.append(event) }

  /// Weight gradients of the last action.
  mutating func addWeights(_ spans: [Range<ContinuousClock.Instant>]) {
    guard !spans.isEmpty else { return }
    precondition(!events.isEmpty, "weight gradients before the first action")
    events[events.count - 1].weights += spans
  }

  /// Seconds from the first action to the last.
  package var makespan: Double { (end - begin) / .seconds(1) }

  /// Seconds in which the rank computed.
  package var busy: Double { events.reduce(0) { $0 + $1.busy } }
}
