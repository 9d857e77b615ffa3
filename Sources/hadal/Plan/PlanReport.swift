internal import Communication
internal import Foundation
internal import Model
internal import Pipeline
internal import Training

/// A plan for people.
struct PlanReport {
  private let plan: RunPlan
  private let machine: PlannedMachine?
  private let ranks: [PlannedRank]

  init(_ plan: RunPlan, _ machine: PlannedMachine?) {
    (self.plan, self.machine, ranks) = (plan, machine, plan.ranks)
  }

  var text: String {
    let sections = [head, places, memory, sent, work, time]
    return sections.map { $0.joined(separator: "\n") }.joined(separator: "\n\n") + "\n"
  }

  private var head: [String] {
    let (count, layout) = (ParameterCount(plan.model), plan.layout)
    let nodes = Set(layout.nodes).count
    let section = plan.configuration.training
    let modules =
      count.multiTokenPrediction > 0 ? ", and \(count.multiTokenPrediction.billions) of MTP" : ""
    return [
      "\(count.main.billions) parameters, of which a token uses \(count.active.billions)\(modules); "
        + plan.configuration.precision.mode.rawValue,
      "\(layout.ranks) ranks on \(nodes) \(nodes == 1 ? "node" : "nodes"): pipeline \(layout.pipeline) x data "
        + "\(layout.data), expert \(layout.expert)"
        + (layout.isTwoLevel(rank: 0) ? "; tokens cross to a node once" : ""),
      "a step: \(plan.sequences) sequences of \(section.sequenceLength), \(plan.tokens) tokens; on each "
        + "\(plan.schedule == nil ? "rank" : "pipeline") \(plan.microbatches) micro-batches of "
        + "\(section.microBatchSize)" + (plan.schedule.map { ", \($0.name)" } ?? ""),
    ] + experts
  }

  /// Which experts of each layer lie where.
  private var experts: [String] {
    let (all, shares) = (plan.model.nRoutedExperts, plan.layout.expert)
    guard all > 0 else { return [] }
    guard shares > 1 else { return ["experts: every rank holds all \(all) of its layers"] }
    let held = [0, shares - 1].map { rank in
      let experts = plan.experts(ofExpertRank: rank)
      return "rank \(rank) holds \(Self.range(experts.lowerBound, experts.upperBound - 1))"
    }
    return [
      "experts: \(all / shares) of the \(all) of each layer on a rank; of every \(shares) ranks "
        + held.joined(separator: ", ")
    ]
  }

  /// What lies where.
  private var places: [String] {
    var table = TextTable(
      words: ["place", "ranks", "nodes", "stages"], numbers: ["parameters", "live micro-batches"])
    let all = plan.stages
    for rank in ranks {
      let members = plan.layout.ranks(of: rank.rank)
      let nodes = plan.layout.nodes[members]
      let stages = rank.stages.map { stage in
        let number = all.firstIndex(of: stage).map { "\($0): " } ?? ""
        return number + StageLayout([stage]).description + stage.layerNumbers
      }
      table.add([
        "\(rank.rank)", Self.range(members.lowerBound, members.upperBound - 1),
        Self.range(nodes.first ?? 0, nodes.last ?? 0), stages.joined(separator: "; "),
        rank.held.parameters.billions, "\(rank.live)",
      ])
    }
    return [
      "Places: stages as E embedding, t layer, L head and MTP, with the numbers of their layers", table.text,
    ]
  }

  private var memory: [String] {
    var table = TextTable(
      words: ["place"],
      numbers: [
        "masters", "copies", "packed", "gradients", "moments", "snapshot", "activations", "buffers", "sum",
        "activations*", "sum*",
      ])
    for rank in ranks {
      let held = rank.held
      let bytes = [
        held.masters, held.copies, held.packed, held.gradients, held.moments, held.snapshot,
        rank.activations, rank.buffers, rank.bytes, rank.mostActivations, rank.mostBytes,
      ]
      table.add(["\(rank.rank)"] + bytes.map { Double($0).memory })
    }
    let worst = ranks.max { $0.bytes < $1.bytes } ?? ranks[0]
    let total = ranks.reduce(0) { $0 + $1.bytes } * plan.layout.data
    let fullest = plan.fullestNode(ranks)
    return [
      "Memory of a rank (* if the most rows that may arrive, \(plan.mostRows), do so in every layer)",
      table.text,
      "most at place \(worst.rank): \(ProgressText.memory(bytes: worst.bytes)); most on a node, \(fullest.node): "
        + "\(ProgressText.memory(bytes: fullest.bytes)); all: \(ProgressText.memory(bytes: total))",
    ]
  }

  private var sent: [String] {
    let kinds: [MessageKind] = [.activations, .dispatch, .combine, .gradients, .parameters]
    var table = TextTable(
      words: ["place"], numbers: kinds.map { "\($0)" } + ["of the exchange between nodes", "sum"])
    for rank in ranks {
      let bytes = kinds.map { rank.sent[$0] ?? 0 }
      let numbers = bytes + [rank.exchangedBetweenNodes, bytes.reduce(0, +)]
      table.add(["\(rank.rank)"] + numbers.map { $0.memory })
    }
    var lines = ["Sent by a rank in a step", table.text]
    if !plan.links.isEmpty {
      var links = TextTable(words: ["link"], numbers: ["activations", "gradients of them", "bytes"])
      for link in plan.links {
        links.add([
          "\(link.from) to \(link.to)", "\(link.activations)", "\(link.gradients)",
          ProgressText.memory(bytes: link.bytes),
        ])
      }
      lines += ["", "Messages between places in a step, of each pipeline", links.text]
    }
    return lines
  }

  private var work: [String] {
    let titles = ["forward", "input gradient", "weight gradient", "share"]
    var table = TextTable(words: ["part"], numbers: titles)
    let (parts, total) = (plan.workByPart, plan.workOfToken)
    let unit = total.total < 1e10 ? (name: "MFLOP", size: 1e6) : (name: "GFLOP", size: 1e9)
    let row = { (work: TokenWork) in
      [work.forward, work.inputGradient, work.weightGradient].map { ($0 / unit.size).shortText }
        + [(100 * work.total / total.total).text(1) + " %"]
    }
    for part in ModelWork.Part.allCases {
      if let work = parts[part], work.total > 0 { table.add([part.rawValue] + row(work)) }
    }
    table.add(["sum"] + row(total))
    let most = ranks.max { $0.work < $1.work } ?? ranks[0]
    return [
      "Work of a token in \(unit.name)", table.text,
      "a step: \((total.total * Double(plan.tokens)).figure) FLOP; most on a rank of place \(most.rank): "
        + "\(most.work.figure)",
    ]
  }

  private var time: [String] {
    guard let machine else {
      return ["Time of a step: give --flops, or --measure, and --bandwidth and --latency"]
    }
    let prediction = plan.prediction(on: machine)
    let link =
      machine.link.bandwidth.isFinite
      ? "\(machine.link.bandwidth.figure) bytes/s and \(machine.link.latency.figure) s a message"
      : "free bytes and \(machine.link.latency.figure) s a message"
    return [
      "Time of a step on ranks of \(machine.speed.figure) FLOP/s with \(link)",
      "\(prediction.step.figure) s, \(prediction.tokensPerSecond.figure) tokens/s",
      "micro-batches \(prediction.makespan.figure) s, of them bubble "
        + "\((100 * prediction.bubbleFraction).text(1)) %; exchange of tokens \(prediction.exchange.figure) s, "
        + "of them not hidden \(prediction.exposedExchange.figure) s",
      "sums of gradients and updated parameters, if nothing hides them: \(prediction.sums.figure) s",
    ]
  }

  private static func range(_ first: Int, _ last: Int) -> String {
    first == last ? "\(first)" : "\(first)-\(last)"
  }
}

extension StageContents {
  /// As in ` (3-6)`; nothing where there are none.
  fileprivate var layerNumbers: String {
    switch layers.count {
    case 0: ""
    case 1: " (\(layers.lowerBound))"
    default: " (\(layers.lowerBound)-\(layers.upperBound - 1))"
    }
  }
}

extension Int {
  /// As in "671.03 B", or "1.2 M".
  fileprivate var billions: String {
    self >= 1_000_000_000
      ? String(format: "%.2f B", Double(self) / 1e9) : String(format: "%.2f M", Double(self) / 1e6)
  }
}

extension Double {
  fileprivate var memory: String { self < 1 ? "-" : ProgressText.memory(bytes: Int(rounded())) }
}
