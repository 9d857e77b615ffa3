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
  /// The micro-batch whose tokens travel, for messages.
  private let microBatch: Int

  /// - Parameters:
  ///   - path: over the ranks that share the experts, in the order of these.
  ///   - experts: of a layer, in all.
  package init(_ path: ExchangePath, experts: Int, microBatch: Int, waiter: Waiter) {
    let ranks = path.groups.reduce(1) { $0 * $1.size }
    precondition(experts.isMultiple(of: ranks), "\(experts) experts over \(ranks) ranks")
    (self.path, self.experts, self.microBatch, self.waiter) = (path, experts, microBatch, waiter)
  }

  package func route(_ indices: Tensor, layer: Int) -> any ExpertRoute { way(indices, layer: layer) }

  /// The same, with what is known of the way beside how to use it.
  package func way(_ indices: Tensor, layer: Int) -> RankRoute {
    RankRoute(
      indices, experts: experts, path: path, waiter: waiter, layer: layer, microBatch: microBatch)
  }
}
