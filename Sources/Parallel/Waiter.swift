package import Autograd
package import Communication

/// How a rank waits for messages in the middle of an operation, where no error can be passed on: one that cannot be
/// waited out ends the job, with words for a person.
package final class Waiter {
  /// What else this rank can compute meanwhile.
  private let strands: Strands?
  private let weights: WeightQueue?
  /// When weight gradients were computed instead of waiting, since this was last read; nil while nobody reads it.
  private var filled: [Range<ContinuousClock.Instant>]?

  package init(_ strands: Strands? = nil, _ weights: WeightQueue? = nil) {
    (self.strands, self.weights) = (strands, weights)
  }

  /// Whether another strand computes while this one waits.
  var isBesideAnother: Bool { strands?.areTwo ?? false }

  /// Waits for what other work may hide: the other strand, if there is one, computes first.
  func finishHidden(_ requests: [Request], of group: Communicator) {
    strands?.handOver()
    finish(requests, of: group)
  }

  /// Computes weight gradients that were put off for as long as a request is not complete, then waits.
  func finish(_ requests: [Request], of group: Communicator) {
    endingJob(group) { () throws(CommunicationError) in
      if let weights, !weights.isEmpty {
        let start = ContinuousClock.now
        for request in requests {
          while try !request.isComplete(), weights.runNext() {}
        }
        filled?.append(start..<ContinuousClock.now)
      }
      try waitAll(requests)
    }
  }

  /// Computes all weight gradients that were put off.
  package func finishWeights() {
    guard let weights, !weights.isEmpty else { return }
    let start = ContinuousClock.now
    weights.runAll()
    filled?.append(start..<ContinuousClock.now)
  }

  /// From now on keeps when weight gradients are computed, for ``takeFilled()``.
  func beginFilling() { filled = [] }

  /// When weight gradients were computed since this was last called.
  func takeFilled() -> [Range<ContinuousClock.Instant>] {
    guard let spans = filled else { preconditionFailure("nobody keeps when weight gradients are computed") }
    filled = []
    return spans
  }

  /// Nobody reads them any more.
  func endFilling() { filled = nil }

  package func endingJob<Result>(
    _ group: Communicator, _ body: () throws(CommunicationError) -> Result
  ) -> Result {
    do { return try body() } catch { group.endJob(error) }
  }
}
