package import Autograd
package import Communication

/// How a rank waits for messages in the middle of an operation, where no error can be passed on: one that cannot be
/// waited out ends the job, with words for a person.
package final class Waiter {
  /// What else this rank can compute meanwhile.
  private let strands: Strands?
  private let weights: WeightQueue?
  /// When weight gradients were computed instead of waiting, since this was last read.
  private var filled: [Range<ContinuousClock.Instant>] = []

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
        filled.append(start..<ContinuousClock.now)
      }
      try waitAll(requests)
    }
  }

  /// Computes all weight gradients that were put off.
  package func finishWeights() {
    guard let weights, !weights.isEmpty else { return }
    let start = ContinuousClock.now
    weights.runAll()
    filled.append(start..<ContinuousClock.now)
  }

  /// When weight gradients were computed since this was last called.
  func takeFilled() -> [Range<ContinuousClock.Instant>] {
    defer { filled = [] }
    return filled
  }

  package func endingJob<Result>(
    _ group: Communicator, _ body: () throws(CommunicationError) -> Result
  ) -> Result {
    do { return try body() } catch { group.endJob(error) }
  }
}
