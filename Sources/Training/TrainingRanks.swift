package import Autograd
package import Communication
package import Model
package import Parallel

/// The ranks of a training run, and what this one shares with them.
///
/// A message that cannot be waited for ends the job: see ``Waiter``.
package struct TrainingRanks {
  package let grid: ProcessGrid
  /// nil where each rank holds the whole model but for experts.
  package let pipeline: PipelinePlan?
  package let shards: ShardedParameters
  /// For a forward pass beside a backward pass; nil where nothing would be hidden by that, or nobody asked for it.
  package let strands: Strands?
  /// Weight gradients that are computed while there is nothing else to do; nil where nobody asked for that.
  let weights: WeightQueue?
  private let experts: Int
  private let path: ExchangePath
  private let rowLimit: Int?
  let waiter: Waiter

  /// - Parameters:
  ///   - overlaps: whether a micro-batch goes forward while the one before it goes backward.
  ///   - isTwoLevel: whether a token goes once to a node, and on from there.
  ///   - rowLimit: rows of tokens that may arrive at a rank at once; nil: however many there are.
  package init(
    _ grid: ProcessGrid, _ model: DeepSeek, pipeline: PipelinePlan?, gradients: Payload, overlaps: Bool,
    isTwoLevel: Bool, rowLimit: Int?
  ) {
    let strands = overlaps && grid.expert > 1 ? Strands() : nil
    let weights = overlaps && (grid.expert > 1 || pipeline != nil) ? WeightQueue() : nil
    let waiter = Waiter(strands, weights)
    (self.strands, self.weights, self.waiter) = (strands, weights, waiter)
    self.rowLimit = rowLimit
    path =
      isTwoLevel
      ? waiter.endingJob(grid.world) { () throws(CommunicationError) in try .twoLevel(grid.expertRanks) }
      : .oneLevel(grid.expertRanks)
    (self.grid, self.pipeline) = (grid, pipeline)
    experts = model.configuration.nRoutedExperts
    model.device.lend(to: grid.expertRanks)
    let groups = waiter.endingJob(grid.world) { () throws(CommunicationError) in
      try pipeline.map { plan throws(CommunicationError) in
        try ReplicaGroups(grid, holders: plan.layout.holders(in: model.configuration))
      } ?? ReplicaGroups(grid, segments: model.segments.count)
    }
    // It waits in the middle of weight gradients, where no others may begin.
    shards = ShardedParameters(model, groups, payload: gradients, waiter: Waiter())
  }

  /// What the number of micro-batches of a step is a multiple of.
  package var shares: Int { grid.data * (pipeline?.multiple ?? 1) }

  /// nil where each rank holds all experts.
  package func exchange(microBatch: Int) -> (any ExpertExchange)? {
    guard grid.expert > 1 else { return nil }
    return RankExchange(
      path, experts: experts, limit: rowLimit, microBatch: microBatch, waiter: waiter)
  }

  /// Of each number the sum over all ranks.
  package func sum(_ values: [Int]) -> [Int] { sum(values, over: grid.world) }

  /// Of each number the sum over the ranks of one place in the pipeline, which share the batch.
  package func sumOverData(_ values: [Int]) -> [Int] { sum(values, over: grid.dataRanks) }

  private func sum(_ values: [Int], over group: Communicator) -> [Int] {
    waiter.endingJob(grid.world) { () throws(CommunicationError) in try group.allReduce(values, .sum) }
  }

  /// Of each number the sum over all ranks, or the greatest where that is what `reduction` says; the same bits on
  /// every rank.
  package func reduce(_ values: [Double], _ reduction: Reduction = .sum) -> [Double] {
    reduce(values, reduction, over: grid.world)
  }

  private func reduce(_ values: [Double], _ reduction: Reduction, over group: Communicator) -> [Double] {
    waiter.endingJob(grid.world) { () throws(CommunicationError) in try group.allReduce(values, reduction) }
  }

  /// Numbers of which each rank of a pipeline has some, and zeros for the others'.
  func sumOverPipeline(_ values: [Double]) -> [Double] { reduce(values, .sum, over: grid.pipelineRanks) }
  func sumOverPipeline(_ values: [Int]) -> [Int] { sum(values, over: grid.pipelineRanks) }

  /// What each rank of a pipeline knows of its layers, for all layers.
  /// - Parameter count: numbers of each layer.
  func ofPipeline(_ own: [Int: [Float]], layers: [Int], count: Int) -> [Int: [Float]] {
    guard pipeline != nil else { return own }
    let others = [Double](repeating: 0, count: count + 1)
    let values = sumOverPipeline(layers.flatMap { own[$0].map { $0.map(Double.init) + [1] } ?? others })
    return Dictionary(
      uniqueKeysWithValues: layers.enumerated().map { index, layer in
        let first = index * (count + 1)
        // Where several ranks hold the layer, they hold the same numbers.
        let holders = values[first + count]
        return (layer, values[first..<first + count].map { Float($0 / holders) })
      })
  }

  /// The health of FP8 in the layers of all ranks of a pipeline.
  func ofPipeline(_ own: Float8Metrics) -> Float8Metrics {
    guard pipeline != nil else { return own }
    return Float8Metrics(step: own.step, texts: texts(own.text, of: grid.pipelineRanks))
  }

  /// What passed a limit on any rank, in the order of the ranks; each says which one that was.
  func union(_ own: [Float8Metrics.Passed]) -> [Float8Metrics.Passed] {
    texts(own.map(\.line).joined(separator: "\n")).enumerated().flatMap { rank, text in
      text.split(separator: "\n").map { Float8Metrics.Passed(line: $0, rank: rank) }
    }
  }

  /// Returns when all ranks have come here.
  func barrier() {
    waiter.endingJob(grid.world) { () throws(CommunicationError) in try grid.world.barrier() }
  }

  /// What each rank says.
  func texts(_ own: String) -> [String] { texts(own, of: grid.world) }

  private func texts(_ own: String, of group: Communicator) -> [String] {
    let texts = waiter.endingJob(group) { () throws(CommunicationError) in
      try group.allGather(Array(own.utf8))
    }
    return texts.map { String(decoding: $0, as: UTF8.self) }
  }

  /// The first of the ranks' texts that is one.
  func first(_ text: String?) -> String? { texts(text ?? "").first { !$0.isEmpty } }

  /// Adds up what the micro-batches of data-parallel ranks came to.
  func sum(_ sums: inout StepSums) {
    let losses = reduce(sums.losses.tokens + [sums.losses.balance], .sum, over: grid.dataRanks)
    (sums.losses.tokens, sums.losses.balance) = (Array(losses.dropLast()), losses[losses.count - 1])
    let layers = sums.loads.keys.sorted()
    var counts = sumOverData(layers.flatMap { sums.loads[$0] ?? [] })[...]
    for layer in layers {
      let experts = sums.loads[layer]?.count ?? 0
      sums.loads[layer] = Array(counts.prefix(experts))
      counts = counts.dropFirst(experts)
    }
  }
}
