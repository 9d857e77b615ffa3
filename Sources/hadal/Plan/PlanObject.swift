internal import Communication
internal import Foundation
internal import Model
internal import Pipeline
internal import Training

/// A plan for programs: bytes, FLOP and seconds.
struct PlanObject: Encodable {
  private struct Stage: Encodable {
    let text: String
    let firstLayer, layers: Int
  }

  private struct Place: Encodable {
    let place, firstRank, lastRank: Int
    let nodes: [Int]
    let stages: [Stage]
    let parameters, liveMicrobatches: Int
    let memory: [String: Int]
    let sent: [String: Double]
    let exchangedBetweenNodes, flop: Double
  }

  private struct Connection: Encodable {
    let from, to, activations, gradients, bytes: Int
  }

  private struct Work: Encodable {
    let forward, inputGradient, weightGradient: Double

    init(_ work: TokenWork) {
      (forward, inputGradient) = (work.forward, work.inputGradient)
      weightGradient = work.weightGradient
    }
  }

  private struct Prediction: Encodable {
    let stepSeconds, makespan, bubbleFraction, exchange, exposedExchange, sums, tokensPerSecond: Double
    let flops, latency: Double
    /// nil where bytes cost nothing.
    let bandwidth: Double?

    init(_ prediction: StepPrediction, _ machine: PlannedMachine) {
      (stepSeconds, makespan) = (prediction.step, prediction.makespan)
      (bubbleFraction, sums) = (prediction.bubbleFraction, prediction.sums)
      (exchange, exposedExchange) = (prediction.exchange, prediction.exposedExchange)
      (tokensPerSecond, flops) = (prediction.tokensPerSecond, machine.speed)
      latency = machine.link.latency
      bandwidth = machine.link.bandwidth.isFinite ? machine.link.bandwidth : nil
    }
  }

  private let ranks, pipeline, data, expert, expertsPerRank: Int
  private let isTwoLevel: Bool
  private let parameters: [String: Int]
  private let schedule: String?
  private let stages: String
  private let microbatches, sequences, tokens, mostRows: Int
  private let places: [Place]
  /// Bytes on the node that has most.
  private let fullestNode: Int
  private let links: [Connection]
  private let flopPerToken: [String: Work]
  private let prediction: Prediction?

  init(_ plan: RunPlan, _ machine: PlannedMachine?) {
    let (layout, count) = (plan.layout, ParameterCount(plan.model))
    (self.ranks, pipeline) = (layout.ranks, layout.pipeline)
    (data, expert) = (layout.data, layout.expert)
    expertsPerRank = plan.model.nRoutedExperts / layout.expert
    isTwoLevel = layout.isTwoLevel(rank: 0)
    parameters = ["main": count.main, "active": count.active, "mtp": count.multiTokenPrediction]
    (schedule, stages) = (plan.schedule?.name, StageLayout(plan.stages).description)
    (microbatches, sequences, tokens) = (plan.microbatches, plan.sequences, plan.tokens)
    mostRows = plan.mostRows
    let ranks = plan.ranks
    places = ranks.map { Self.place($0, plan) }
    fullestNode = plan.fullestNode(ranks).bytes
    links = plan.links.map {
      Connection(
        from: $0.from, to: $0.to, activations: $0.activations, gradients: $0.gradients, bytes: $0.bytes)
    }
    let work = plan.workByPart.map { ($0.rawValue, Work($1)) } + [("sum", Work(plan.workOfToken))]
    flopPerToken = Dictionary(uniqueKeysWithValues: work)
    prediction = machine.map { Prediction(plan.prediction(on: $0), $0) }
  }

  private static func place(_ rank: PlannedRank, _ plan: RunPlan) -> Place {
    let members = plan.layout.ranks(of: rank.rank)
    let held = rank.held
    return Place(
      place: rank.rank, firstRank: members.lowerBound, lastRank: members.upperBound - 1,
      nodes: Set(plan.layout.nodes[members]).sorted(),
      stages: rank.stages.map {
        Stage(
          text: StageLayout([$0]).description, firstLayer: $0.layers.lowerBound, layers: $0.layers.count)
      },
      parameters: held.parameters, liveMicrobatches: rank.live,
      memory: [
        "masters": held.masters, "copies": held.copies, "packed": held.packed, "gradients": held.gradients,
        "moments": held.moments, "snapshot": held.snapshot, "activations": rank.activations,
        "most_activations": rank.mostActivations,
        "exchange_buffers": rank.exchangeBuffers, "gradient_buffers": rank.gradientBuffers,
        "message_buffers": rank.messageBuffers, "sum": rank.bytes, "most": rank.mostBytes,
      ],
      sent: Dictionary(uniqueKeysWithValues: rank.sent.map { ("\($0)", $1.rounded()) }),
      exchangedBetweenNodes: rank.exchangedBetweenNodes.rounded(), flop: rank.work)
  }

  var text: String {
    get throws {
      let encoder = JSONEncoder()
      encoder.keyEncodingStrategy = .convertToSnakeCase
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
    }
  }
}
