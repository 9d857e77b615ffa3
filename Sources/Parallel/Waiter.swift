package import Communication

/// How a rank waits for messages in the middle of an operation, where no error can be passed on: one that cannot be
/// waited out ends the job, with words for a person.
package final class Waiter {
  /// What else this rank can compute meanwhile.
  private let strands: Strands?

  package init(_ strands: Strands? = nil) { self.strands = strands }

  /// Whether another strand computes while this one waits.
  var isBesideAnother: Bool { strands?.areTwo ?? false }

  /// Waits for what other work may hide: the other strand, if there is one, computes first.
  func finishHidden(_ requests: [Request], of group: Communicator) {
    strands?.handOver()
    finish(requests, of: group)
  }

  func finish(_ requests: [Request], of group: Communicator) {
    endingJob(group) { () throws(CommunicationError) in try waitAll(requests) }
  }

  package func endingJob<Result>(
    _ group: Communicator, _ body: () throws(CommunicationError) -> Result
  ) -> Result {
    do { return try body() } catch { group.endJob(error) }
  }
}
