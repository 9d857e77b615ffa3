package import Autograd
internal import Communication
package import Tensors

/// Experts spread over a group of ranks.
///
/// A row travels once to every rank that holds one of its token's experts, and that rank sends back one sum for all of
/// them. No token is dropped; the numbers of rows are told first. Sums are taken in the order of the ranks, so bits do
/// not depend on what arrives when. Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2; specification §5.3.
package final class RankExchange: ExpertExchange {
  private let path: ExchangePath
  /// Of a layer, in all.
  private let experts: Int
  /// What waits for messages.
  private let waiter: Waiter
  /// Rows that may arrive at a rank at once; nil where it has room for all.
  private let limit: Int?
  /// The micro-batch whose tokens travel, for messages.
  private let microBatch: Int

  /// - Parameters:
  ///   - path: over the ranks that share the experts, in the order of these.
  ///   - experts: of a layer, in all.
  ///   - limit: rows that may arrive at a rank at once, the same on all; nil: however many there are.
  package init(
    _ path: ExchangePath, experts: Int, limit: Int? = nil, microBatch: Int, waiter: Waiter
  ) {
    let ranks = path.group.size
    precondition(experts.isMultiple(of: ranks), "\(experts) experts over \(ranks) ranks")
    (self.path, self.experts, self.limit) = (path, experts, limit)
    (self.microBatch, self.waiter) = (microBatch, waiter)
  }

  package var isReadInPlace: Bool { path.isReadInPlace }

  package func slices(_ indices: Tensor, layer: Int) -> [Range<Int>] {
    guard let limit else { return [0..<indices.rows] }
    let group = path.group
    let purpose = Purpose("row counts of slices", .control, layer: layer, microBatch: microBatch)
    let counts = TokenSlicing.counts(indices, ranks: group.size, expertsOfRank: experts / group.size)
    let arriving = TokenSlicing.sums(waiter.exchange(counts: counts, of: group, purpose))
    let least = TokenSlicing.leastSlices(arriving, limit: limit)
    let count = waiter.endingJob(group) { () throws(CommunicationError) in
      try group.allReduce([least], .maximum, purpose)[0]
    }
    return TokenSlicing.slices(count, of: indices.rows)
  }

  package func route(_ indices: Tensor, layer: Int) -> any ExpertRoute { way(indices, layer: layer) }

  /// The same, with what is known of the way beside how to use it.
  package func way(_ indices: Tensor, layer: Int) -> RankRoute {
    RankRoute(
      indices, experts: experts, path: path, waiter: waiter, layer: layer, microBatch: microBatch)
  }
}
