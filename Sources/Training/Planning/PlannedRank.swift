package import Communication
package import Model
internal import Pipeline

/// What a rank at one place of the pipeline holds and sends; data-parallel ranks of that place are alike.
package struct PlannedRank: Sendable {
  package let rank: Int
  /// By slot.
  package let stages: [StageContents]
  package let held: ParameterAccount.Held
  /// The most micro-batches whose activations are there at once, a stage's each.
  package let live: Int
  /// The most bytes of them: with experts chosen evenly, and with as many rows as may arrive.
  package let activations, mostActivations: Int
  /// Rows of tokens on their way.
  package let exchangeBuffers: Int
  /// Gradients of parameters that arrive.
  package let gradientBuffers: Int
  /// Activations on their way between stages.
  package let messageBuffers: Int
  /// Bytes that leave in a step.
  package let sent: [MessageKind: Double]
  /// The part of dispatch and combine that goes to other nodes.
  package let exchangedBetweenNodes: Double
  /// Floating-point operations of a step.
  package let work: Double

  package var buffers: Int { exchangeBuffers + gradientBuffers + messageBuffers }
  /// With experts chosen evenly.
  package var bytes: Int { held.total + activations + buffers }
  package var mostBytes: Int { held.total + mostActivations + buffers }
}

/// Messages of a step from one place of a pipeline to another: activations one way, their gradients the other.
package struct PlannedLink: Sendable, Hashable {
  package let from, to: Int
  package let activations, gradients: Int
  package let bytes: Int
}

extension RunPlan {
  /// By place in the pipeline.
  package var ranks: [PlannedRank] {
    let (even, worst) = (peaks(isWorst: false), peaks(isWorst: true))
    let links = links
    return (0..<layout.pipeline).map { rank in
      let stages = layout.stages(of: rank)
      let each = Double(microbatches / (schedule?.placement.routes.count ?? 1))
      let volumes = stages.map { exchange(of: $0, rank: layout.ranks(of: rank).lowerBound) }
      let (gradients, parameters) = account.sent(by: rank)
      let passed = links.filter { $0.from == rank }.reduce(0) { $0 + $1.bytes }
      let tokens = each * Double(configuration.microBatchTokens)
      return PlannedRank(
        rank: rank, stages: stages, held: account.held(by: rank), live: even.live[rank],
        activations: even.bytes[rank], mostActivations: worst.bytes[rank],
        exchangeBuffers: exchangeBuffers, gradientBuffers: account.gradientBuffers(of: rank),
        messageBuffers: messageBuffers(of: rank),
        sent: [
          .activations: Double(passed), .gradients: gradients, .parameters: parameters,
          .dispatch: volumes.reduce(0) { $0 + $1.bytes.dispatch } * each,
          .combine: volumes.reduce(0) { $0 + $1.bytes.combine } * each,
        ],
        exchangedBetweenNodes: volumes.reduce(0) { $0 + $1.betweenNodes } * each,
        work: stages.reduce(0) { $0 + work.total(of: $1).total } * tokens)
    }
  }

  /// The node whose ranks hold most, with experts chosen evenly, in bytes.
  /// - Parameter ranks: ``ranks``.
  package func fullestNode(_ ranks: [PlannedRank]) -> (node: Int, bytes: Int) {
    var bytes: [Int: Int] = [:]
    for (rank, node) in layout.nodes.enumerated() {
      bytes[node, default: 0] += ranks[rank / layout.data].bytes
    }
    let most = bytes.max { ($0.value, $1.key) < ($1.value, $0.key) }
    return (most?.key ?? 0, most?.value ?? 0)
  }

  /// The most activations that are live at once, by rank of the pipeline.
  private func peaks(isWorst: Bool) -> (live: [Int], bytes: [Int]) {
    let bytes = stages.map { activationBytes(of: $0, isWorst: isWorst) }
    guard let schedule else {
      let live = overlaps && microbatches > 1 ? 2 : 1
      return ([live], [live * bytes[0]])
    }
    var costs = Costs()
    costs.activationBytes = PerStage(bytes.map(Double.init))
    // The schedule has been verified with the configuration, and the order of its lanes is what decides.
    guard let timeline = try? schedule.simulate(costs) else {
      preconditionFailure("\(schedule.name) of \(schedule.ranks) ranks cannot be simulated")
    }
    return (timeline.peakActivations, timeline.peakActivationBytes.map { Int($0.rounded()) })
  }

  /// Rows that leave and those that arrive, at most, in the compute type; twice where two passes are under way.
  private var exchangeBuffers: Int {
    guard layout.expert > 1 else { return 0 }
    let leaving = configuration.microBatchTokens * min(model.numExpertsPerTok, layout.expert)
    let rowBytes = messageBytes / configuration.microBatchTokens
    return (overlaps ? 2 : 1) * (leaving + mostRows) * rowBytes
  }

  /// Room for what the action that runs and the two after it receive, and what it sends.
  private func messageBuffers(of rank: Int) -> Int {
    guard let schedule else { return 0 }
    let (lane, placement) = (schedule.lanes[rank], schedule.placement)
    let counts = lane.map { action in
      (
        placement.messages(receivedBy: action, on: rank).count { !$0.isLocal },
        placement.messages(sentBy: action, on: rank).count { !$0.isLocal }
      )
    }
    let most = counts.indices.map { index in
      counts[index...min(index + 2, counts.count - 1)].reduce(0) { $0 + $1.0 } + counts[index].1
    }.max()
    return (most ?? 0) * messageBytes
  }

  /// In the order of the ranks.
  package var links: [PlannedLink] {
    guard let schedule else { return [] }
    var counts: [Link.Ends: (activations: Int, gradients: Int)] = [:]
    for (rank, lane) in schedule.lanes.enumerated() {
      for message in lane.flatMap({ schedule.placement.messages(sentBy: $0, on: rank) })
      where !message.isLocal {
        let ends = Link.Ends(from: message.from.rank, to: message.to.rank)
        switch message.kind {
        case .activation: counts[ends, default: (0, 0)].activations += 1
        case .gradient: counts[ends, default: (0, 0)].gradients += 1
        }
      }
    }
    return counts.sorted { ($0.key.from, $0.key.to) < ($1.key.from, $1.key.to) }.map { ends, count in
      PlannedLink(
        from: ends.from, to: ends.to, activations: count.activations, gradients: count.gradients,
        bytes: (count.activations + count.gradients) * messageBytes)
    }
  }
}
