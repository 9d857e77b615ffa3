/// The experts of each layer that one of several ranks holds: rank r the r-th of equal runs of consecutive ones.
package struct ExpertShare: Sendable, Hashable {
  package let rank, ranks: Int

  package static let all = ExpertShare(rank: 0, ranks: 1)

  package init(rank: Int, ranks: Int) {
    precondition((0..<ranks).contains(rank), "expert rank \(rank) of \(ranks)")
    (self.rank, self.ranks) = (rank, ranks)
  }

  /// - Parameter total: the experts of a layer; a multiple of the ranks.
  package func experts(of total: Int) -> Range<Int> {
    precondition(total.isMultiple(of: ranks), "\(total) experts over \(ranks) ranks")
    let count = total / ranks
    return rank * count..<(rank + 1) * count
  }
}
