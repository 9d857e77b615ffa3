package import Autograd
package import Communication

/// How a rank waits for messages in the middle of an operation, where no error can be passed on: one that cannot be
/// waited out ends the job, with words for a person.
package final class Waiter {
  /// What else this rank can compute meanwhile.
  private let strands: Strands?
  private let weights: WeightQueue?
  /// When weight gradients were computed; nil while nobody asks.
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
      try fill { (weights) throws(CommunicationError) in
        for request in requests {
          while try !request.isComplete(), weights.runNext() {}
        }
      }
      try waitAll(requests)
    }
  }

  /// Computes all weight gradients that were put off.
  package func finishWeights() { fill { $0.runAll() } }

  private func fill<Failure>(_ body: (WeightQueue) throws(Failure) -> Void) throws(Failure) {
    guard let weights, !weights.isEmpty else { return }
    let start = ContinuousClock.now
    try body(weights)
    filled?.append(start..<ContinuousClock.now)
  }

  /// When weight gradients were computed in `body`.
  func fillings(in body: () -> Void) -> [Range<ContinuousClock.Instant>] {
    filled = []
    defer { filled = nil }
    body()
    return filled ?? []
  }

  /// All-to-all of integers; weight gradients fill the wait.
  func exchange(counts: [Int], of group: Communicator, _ purpose: Purpose) -> [Int] {
    let exchange = endingJob(group) { () throws(CommunicationError) in
      try group.startExchange(counts: counts, purpose)
    }
    finish([exchange.request], of: group)
    return exchange.arrived
  }

  package func endingJob<Result>(
    _ group: Communicator, _ body: () throws(CommunicationError) -> Result
  ) -> Result {
    do { return try body() } catch { group.endJob(error) }
  }
}
