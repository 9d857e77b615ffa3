package import Communication
package import Model
internal import Parallel
internal import Pipeline

/// How ranks divide a run, whether they are there or not: what the `parallel` section comes to on so many.
package struct RankLayout: Sendable {
  package let pipeline, data, expert: Int
  /// nil without a pipeline.
  package let plan: PipelinePlan?
  /// By rank of the world.
  package let nodes: [Int]
  /// What the pipeline's ranks hold; one rank with the whole model where there is none.
  private let whole: StageContents
  private let exchange: ParallelSection.Exchange

  package var ranks: Int { nodes.count }

  /// - Parameters:
  ///   - model: with its vocabulary.
  ///   - nodes: of the ranks, in their order.
  /// - Throws: `CommunicationError.grid` with everything that does not fit.
  package init(
    _ configuration: RunConfiguration, _ model: ModelConfiguration, nodes: [Int]
  ) throws(CommunicationError) {
    let section = configuration.parallel
    let (ranks, experts) = (nodes.count, model.nRoutedExperts)
    let data = section.data ?? max(1, ranks / section.pipeline)
    let divides = { (count: Int) in data.isMultiple(of: count) && experts.isMultiple(of: count) }
    let expert = section.expert ?? (1...data).last(where: divides) ?? 1
    var faults = ProcessGrid.faults(ranks: ranks, pipeline: section.pipeline, data: data, expert: expert)
    let fits = faults.isEmpty
    var plan: PipelinePlan?
    if let fault = configuration.faultOfBatch(dataRanks: data) {
      faults.append(fault)
    } else if section.pipeline > 1 {
      do { plan = try PipelinePlan(configuration, model, ranks: section.pipeline, data: data) } catch {
        faults += error.texts
      }
    }
    faults += [configuration.faultOfExchangeRows(expertRanks: expert)].compactMap { $0 }
    (pipeline, self.data, self.expert) = (section.pipeline, data, expert)
    (self.plan, self.nodes, whole, exchange) = (plan, nodes, .whole(model), section.exchange)
    if fits, exchange == .twoLevel {
      let groups = stride(from: 0, to: ranks, by: expert).map { Array(nodes[$0..<$0 + expert]) }
      if let fault = groups.lazy.compactMap(ExchangePath.fault).first {
        faults.append("parallel.exchange is two_level, but \(fault); set it to auto")
      }
    }
    guard faults.isEmpty else { throw .grid(faults: faults) }
  }

  /// The communicators of the layout; nil for one rank alone. Every rank of the world calls this.
  ///
  /// - Throws: `CommunicationError` when ranks do not come here in time or the library fails; `.grid`, the same on all of
  ///   them, when they have read different schedules.
  func grid(_ world: Communicator?) throws(CommunicationError) -> ProcessGrid? {
    guard let world, world.size > 1 else { return nil }
    if let plan, let own = plan.fingerprint {
      let texts = try world.allGather(Array(own.utf8), Purpose("schedule", .control))
      let fault = plan.fault(of: texts.map { String(decoding: $0, as: UTF8.self) }, hosts: world.hosts)
      if let fault { throw .grid(faults: [fault]) }
    }
    return try ProcessGrid(world: world, pipeline: pipeline, data: data, expert: expert)
  }

  /// What each rank of a pipeline holds, by slot.
  package func stages(of pipelineRank: Int) -> [StageContents] {
    plan?.layout.stages(of: pipelineRank) ?? [whole]
  }

  /// The ranks of the pipeline that hold a segment's parameters, by segment.
  package func holders(in model: ModelConfiguration) -> [[Int]] {
    plan?.layout.holders(in: model)
      ?? Array(repeating: [0], count: model.numHiddenLayers + 2 + model.numNextnPredictLayers)
  }

  /// The ranks of the world at a place in the pipelines.
  package func ranks(of pipelineRank: Int) -> Range<Int> {
    pipelineRank * data..<(pipelineRank + 1) * data
  }

  /// Whether tokens of a rank go once to each node, and on from there.
  package func isTwoLevel(rank: Int) -> Bool {
    exchange.isTwoLevel(on: expertNodes(of: rank))
  }

  /// The nodes of the ranks that share experts with a rank.
  package func expertNodes(of rank: Int) -> [Int] {
    let first = rank / expert * expert
    return Array(nodes[first..<first + expert])
  }
}

extension RunConfiguration {
  /// Why this limit on rows that arrive cannot be kept; nil if it can.
  func faultOfExchangeRows(expertRanks: Int) -> String? {
    let least = TokenSlicing.leastLimit(tokens: microBatchTokens, ranks: expertRanks)
    guard let rows = parallel.exchangeRows, rows < least else { return nil }
    return "parallel.exchange_rows (\(rows)) must be at least \(least): micro-batches of \(microBatchTokens) "
      + "tokens on \(expertRanks) ranks are cut into \(TokenSlicing.most) slices at most"
  }
}
