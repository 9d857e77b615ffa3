internal import Communication
internal import Model
package import Pipeline

/// A machine as a plan sees it: every rank has one.
package struct PlannedMachine: Sendable, Hashable {
  /// Floating-point operations per second that a rank reaches in products.
  package var speed: Double
  /// From each rank to others.
  package var link: Link

  package init(speed: Double, link: Link = Link()) { (self.speed, self.link) = (speed, link) }
}

/// How long a step takes on a machine, in seconds: computing at a constant speed, messages at a constant bandwidth.
///
/// Updates, and everything but products and attention, are taken to cost nothing.
package struct StepPrediction: Sendable, Hashable {
  /// From the first forward to the last weight gradient.
  package let makespan: Double
  /// The mean part of it in which a rank computes nothing; messages for experts that nothing hides count as computing.
  package let bubbleFraction: Double
  /// Messages for experts of the rank that sends most, in all, and those that nothing hides.
  package let exchange, exposedExchange: Double
  /// Sums of gradients and updated parameters of the rank that sends most, taken to be hidden by nothing.
  package let sums: Double
  package let tokensPerSecond: Double

  package var step: Double { makespan + sums }
}

extension RunPlan {
  /// What a micro-batch takes in a stage.
  private struct StageTime {
    var forward, inputGradient, weightGradient: Double
    var exchangeForward, exchangeBackward: Double

    var compute: Double { forward + inputGradient + weightGradient }
  }

  package func prediction(on machine: PlannedMachine) -> StepPrediction {
    let times = stages.map { time(of: $0, on: machine) }
    let sums = ranks.map {
      (($0.sent[.gradients] ?? 0) + ($0.sent[.parameters] ?? 0)) / machine.link.bandwidth
    }
    let (makespan, bubble, exposed) = schedule.map { pipelined(times, $0, machine) } ?? alone(times[0])
    let perRank = (0..<layout.pipeline).map { rank in
      layout.stages(of: rank).reduce(0.0) { sum, stage in
        let time = self.time(of: stage, on: machine)
        return sum + time.exchangeForward + time.exchangeBackward
      } * Double(microbatches / (schedule?.placement.routes.count ?? 1))
    }
    let step = makespan + (sums.max() ?? 0)
    return StepPrediction(
      makespan: makespan, bubbleFraction: bubble, exchange: perRank.max() ?? 0, exposedExchange: exposed,
      sums: sums.max() ?? 0, tokensPerSecond: Double(tokens) / step)
  }

  private func time(of stage: StageContents, on machine: PlannedMachine) -> StageTime {
    let (work, exchange) = (work.total(of: stage), exchange(of: stage, rank: 0))
    let unit = Double(configuration.microBatchTokens) / machine.speed
    // Two transfers each way, one after the other.
    let latency =
      layout.expert > 1 ? 2 * machine.link.latency * Double(expertLayers(of: stage).count) : 0
    return StageTime(
      forward: work.forward * unit, inputGradient: work.inputGradient * unit,
      weightGradient: work.weightGradient * unit,
      exchangeForward: exchange.forward.total / machine.link.bandwidth + latency,
      exchangeBackward: exchange.backward.total / machine.link.bandwidth + latency)
  }

  /// The simulator's. In a pair the messages of both parts hide behind the computation of both; alone, a part waits for
  /// its own.
  private func pipelined(
    _ times: [StageTime], _ schedule: Schedule, _ machine: PlannedMachine
  ) -> (makespan: Double, bubble: Double, exposed: Double) {
    var costs = Costs(
      forward: PerStage(times.map { $0.forward + $0.exchangeForward }),
      inputGradient: PerStage(times.map { $0.inputGradient + $0.exchangeBackward }),
      weightGradient: PerStage(times.map(\.weightGradient)))
    if overlaps { costs.overlapped = PerStage(pairs(times, schedule)) }
    (costs.messageBytes, costs.link) = (Double(messageBytes), machine.link)
    let played = schedule.asPlayed(overlapping: configuration.parallel.overlap)
    guard let timeline = try? played.simulate(costs) else {
      preconditionFailure("\(schedule.name) of \(schedule.ranks) ranks cannot be simulated")
    }
    let exposed = schedule.lanes.indices.map { rank in
      timeline.busy[rank] - compute(times, schedule, rank)
    }
    return (timeline.makespan, timeline.bubbleFraction, max(0, exposed.max() ?? 0))
  }

  /// Seconds that a rank computes.
  private func compute(_ times: [StageTime], _ schedule: Schedule, _ rank: Int) -> Double {
    (0..<schedule.placement.slots).reduce(0.0) { sum, slot in
      let stage = schedule.placement.stage(at: Place(rank: rank, slot: slot))
      return sum + times[stage].compute * Double(schedule.microbatchesPerRoute)
    }
  }

  /// A pair by the stage of its forward: with the stage whose backward stands beside it, where it is first.
  private func pairs(_ times: [StageTime], _ schedule: Schedule) -> [Double] {
    var backward = Array(times.indices)
    var isKnown = Array(repeating: false, count: times.count)
    for (rank, lane) in schedule.lanes.enumerated() {
      for case .overlapped(let ahead, let back) in lane {
        let stage = schedule.placement.stage(at: Place(rank: rank, slot: ahead.slot))
        guard !isKnown[stage] else { continue }
        isKnown[stage] = true
        backward[stage] = schedule.placement.stage(at: Place(rank: rank, slot: back.slot))
      }
    }
    return times.indices.map { Self.pair(times[$0], times[backward[$0]]) }
  }

  private static func pair(_ ahead: StageTime, _ back: StageTime) -> Double {
    max(
      ahead.forward + back.inputGradient + back.weightGradient,
      ahead.exchangeForward + back.exchangeBackward)
  }

  /// Micro-batches one after the other, the forward of each beside the backward of the one before where that hides
  /// messages.
  private func alone(_ time: StageTime) -> (makespan: Double, bubble: Double, exposed: Double) {
    let single = time.compute + time.exchangeForward + time.exchangeBackward
    let count = Double(microbatches)
    let makespan = overlaps ? single + (count - 1) * Self.pair(time, time) : single * count
    return (makespan, 0, makespan - time.compute * count)
  }
}
