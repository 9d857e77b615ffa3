package import Autograd
package import Communication
package import Tensors

/// Experts spread over a group of ranks, each of which sends to each other directly.
///
/// A row travels once to every rank that holds one of its token's experts, and that rank sends back one sum for all of
/// them. No token is dropped; the numbers of rows are told first. Sums are taken in the order of the ranks, so bits do
/// not depend on what arrives when. Source: DeepSeek-V3, arXiv:2412.19437, §3.2.2; specification §5.3.
package final class OneLevelExchange: ExpertExchange {
  private let group: Communicator
  private let expertsOfRank: Int
  /// What waits for messages.
  private let waiter: Waiter
  /// The micro-batch whose tokens travel, for messages.
  private let microBatch: Int

  /// - Parameters:
  ///   - group: the ranks that share the experts, in the order of these.
  ///   - experts: of a layer, in all.
  package init(_ group: Communicator, experts: Int, microBatch: Int, waiter: Waiter) {
    precondition(experts.isMultiple(of: group.size), "\(experts) experts over \(group.size) ranks")
    (self.group, self.microBatch, self.waiter) = (group, microBatch, waiter)
    expertsOfRank = experts / group.size
  }

  package func route(_ indices: Tensor, layer: Int) -> any ExpertRoute {
    let itinerary = Itinerary(indices, ranks: group.size, expertsOfRank: expertsOfRank)
    let counts = itinerary.counts
    let arriving = waiter.endingJob(group) { () throws(CommunicationError) in
      try group.exchange(counts: counts, Purpose("row counts", .control, layer: layer, microBatch: microBatch))
    }
    return OneLevelRoute(
      itinerary, arriving: arriving, experts: expertsOfRank, group: group, waiter: waiter, layer: layer,
      microBatch: microBatch)
  }
}

/// Which tokens go to which rank: what a rank decides from its own tokens.
struct Itinerary {
  /// `[S]` int32: the token of each row that leaves, by rank, then in the order of the tokens.
  let tokens: Tensor
  /// `[S, K]` int32: each row's experts, by their number on the rank that it goes to; -1 for those elsewhere.
  let experts: Tensor
  /// `[T, ranks]` int32: the row that goes to each rank; -1 for none.
  let positions: Tensor
  /// Rows for each rank.
  let counts: [Int]

  /// - Parameter indices: `[T, K]` int32.
  init(_ indices: Tensor, ranks: Int, expertsOfRank: Int) {
    let (count, selected, device) = (indices.rows, indices.columns, indices.device)
    let index = indices.elements(Int32.self)
    var visits = [Bool](repeating: false, count: count * ranks)
    var counts = [Int](repeating: 0, count: ranks)
    for t in 0..<count {
      for k in 0..<selected {
        let rank = Int(index[t * selected + k]) / expertsOfRank
        guard !visits[t * ranks + rank] else { continue }
        visits[t * ranks + rank] = true
        counts[rank] += 1
      }
    }
    let total = counts.reduce(0, +)
    (tokens, experts) = (Tensor([total], .int32, on: device), Tensor([total, selected], .int32, on: device))
    positions = Tensor([count, ranks], .int32, on: device)
    self.counts = counts
    let (token, expert) = (tokens.elements(Int32.self), experts.elements(Int32.self))
    let position = positions.elements(Int32.self)
    var next = counts.indices.map { counts[..<$0].reduce(0, +) }
    for t in 0..<count {
      for rank in 0..<ranks {
        guard visits[t * ranks + rank] else {
          position[t * ranks + rank] = -1
          continue
        }
        let row = next[rank]
        next[rank] += 1
        (token[row], position[t * ranks + rank]) = (Int32(t), Int32(row))
        for k in 0..<selected {
          let local = Int(index[t * selected + k]) - rank * expertsOfRank
          expert[row * selected + k] = (0..<expertsOfRank).contains(local) ? Int32(local) : -1
        }
      }
    }
  }
}
