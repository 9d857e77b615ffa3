package import Autograd
package import Communication
package import Model
package import Parallel

/// The ranks of a training run, and what this one shares with them.
///
/// A message that cannot be waited for ends the job: see ``Waiter``.
package struct TrainingRanks {
  package let grid: ProcessGrid
  package let shards: ShardedParameters
  /// For a forward pass beside a backward pass; nil where nothing would be hidden by that, or nobody asked for it.
  package let strands: Strands?
  private let experts: Int
  private let path: ExchangePath
  private let rowLimit: Int?
  private let waiter: Waiter

  /// - Parameters:
  ///   - overlaps: whether a micro-batch goes forward while the one before it goes backward.
  ///   - isTwoLevel: whether a token goes once to a node, and on from there.
  ///   - rowLimit: rows of tokens that may arrive at a rank at once; nil: however many there are.
  package init(
    _ grid: ProcessGrid, _ model: DeepSeek, gradients: Payload, overlaps: Bool, isTwoLevel: Bool,
    rowLimit: Int?
  ) {
    let strands = overlaps && grid.expert > 1 ? Strands() : nil
    let waiter = Waiter(strands)
    (self.strands, self.waiter) = (strands, waiter)
    self.rowLimit = rowLimit
    path =
      isTwoLevel
      ? waiter.endingJob(grid.world) { () throws(CommunicationError) in try .twoLevel(grid.expertRanks) }
      : .oneLevel(grid.expertRanks)
    self.grid = grid
    experts = model.configuration.nRoutedExperts
    shards = ShardedParameters(
      model, dense: grid.dataRanks, experts: grid.expertDataRanks, payload: gradients, waiter: waiter)
  }

  /// nil where each rank holds all experts.
  package func exchange(microBatch: Int) -> (any ExpertExchange)? {
    guard grid.expert > 1 else { return nil }
    return RankExchange(
      path, experts: experts, limit: rowLimit, microBatch: microBatch, waiter: waiter)
  }

  /// Of each number the sum over the data-parallel ranks.
  package func sum(_ values: [Int]) -> [Int] {
    waiter.endingJob(grid.world) { () throws(CommunicationError) in
      try grid.dataRanks.allReduce(values, .sum)
    }
  }

  /// Of each number the sum, or the greatest where that is what `reduction` says; the same bits on every rank.
  package func reduce(_ values: [Double], _ reduction: Reduction = .sum) -> [Double] {
    waiter.endingJob(grid.world) { () throws(CommunicationError) in
      try grid.dataRanks.allReduce(values, reduction)
    }
  }

  /// What passed a limit on any rank, in the order of the ranks; each says which one that was.
  func union(_ own: [Float8Metrics.Passed]) -> [Float8Metrics.Passed] {
    texts(own.map(\.line).joined(separator: "\n")).enumerated().flatMap { rank, text in
      text.split(separator: "\n").map { Float8Metrics.Passed(line: $0, rank: rank) }
    }
  }

  /// What each rank says.
  func texts(_ own: String) -> [String] {
    let texts = waiter.endingJob(grid.world) { () throws(CommunicationError) in
      try grid.world.allGather(Array(own.utf8))
    }
    return texts.map { String(decoding: $0, as: UTF8.self) }
  }

  /// The first of the ranks' texts that is one.
  func first(_ text: String?) -> String? { texts(text ?? "").first { !$0.isEmpty } }

  /// Adds up what the ranks' micro-batches came to.
  func sum(_ sums: inout StepSums) {
    let losses = reduce(sums.losses.tokens + [sums.losses.balance])
    (sums.losses.tokens, sums.losses.balance) = (Array(losses.dropLast()), losses[losses.count - 1])
    let layers = sums.loads.keys.sorted()
    var counts = sum(layers.flatMap { sums.loads[$0] ?? [] })[...]
    for layer in layers {
      let experts = sums.loads[layer]?.count ?? 0
      sums.loads[layer] = Array(counts.prefix(experts))
      counts = counts.dropFirst(experts)
    }
  }
}
