/// When everything happens, in seconds from the beginning of a step: what ``Schedule/simulate(_:)`` gives.
package struct Timeline: Hashable, Sendable {
  package struct Span: Hashable, Sendable {
    package var start, end: Double
    /// The kind of message that the rank was idle for until it began; nil if it began at once.
    package var awaited: Message.Kind?
  }

  /// `spans[rank][i]` is the time of action i of the rank's lane.
  package internal(set) var spans: [[Span]]
  /// When the last action of all ranks ends.
  package internal(set) var makespan = 0.0
  /// For each rank the time in its actions.
  package internal(set) var busy: [Double]
  /// For each rank the time in which it waited for an activation, or for a gradient: for what came last.
  package internal(set) var activationWait: [Double]
  package internal(set) var gradientWait: [Double]
  /// For each rank the most forwards, of all slots together, that had begun and whose weight gradient was not
  /// done.
  package internal(set) var peakActivations: [Int]
  /// The same in bytes.
  package internal(set) var peakActivationBytes: [Double]
  package internal(set) var criticalPath = CriticalPath()

  /// What determines the makespan: a chain of actions and messages without a gap, from its end back to 0.
  package struct CriticalPath: Hashable, Sendable {
    package struct Step: Hashable, Sendable {
      package var rank: Int
      package var index: Int
    }

    /// First action first.
    package internal(set) var steps: [Step] = []
    /// The time of the steps.
    package internal(set) var computing = 0.0
    /// The time of the messages between them.
    package internal(set) var traveling = 0.0
  }

  init(ranks: Int) {
    spans = Array(repeating: [], count: ranks)
    busy = Array(repeating: 0, count: ranks)
    (activationWait, gradientWait, peakActivationBytes) = (busy, busy, busy)
    peakActivations = Array(repeating: 0, count: ranks)
  }

  /// For each rank the time in none of its actions: waits, and what is left after its last action.
  package var bubble: [Double] { busy.map { makespan - $0 } }

  /// The mean bubble as a share of the makespan; 0 where nothing takes time.
  package var bubbleFraction: Double {
    makespan > 0 ? bubble.reduce(0, +) / Double(bubble.count) / makespan : 0
  }
}
