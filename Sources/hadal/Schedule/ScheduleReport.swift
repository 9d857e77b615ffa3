internal import Foundation
internal import Pipeline

/// A schedule and its timeline, for people and for programs.
struct ScheduleReport {
  let schedule: Schedule
  let costs: Costs
  let timeline: Timeline

  /// A `.schedule` file: figures and the timeline in comments, then the lanes.
  var text: String {
    let comments = head + [""] + ranks + [""] + ScheduleGrid(self).lines
    return comments.map { $0.isEmpty ? "#\n" : "# \($0)\n" }.joined() + "\n" + schedule.fileText
  }

  /// One object: lanes as tokens, then the simulator's figures.
  var json: String {
    let lanes = schedule.lanes.map { "[" + $0.map { "\"\($0)\"" }.joined(separator: ",") + "]" }
    return """
      {"lanes": [
      \(lanes.joined(separator: ",\n"))
      ], "makespan": \(timeline.makespan), "bubble": \(timeline.bubble), \
      "peak_activations": \(timeline.peakActivations)}

      """
  }

  /// What is simulated, and the figures of all ranks together.
  var head: [String] {
    let placement = schedule.placement
    let routes = placement.routes.count
    let seconds = { (cost: PerStage) in cost[0].figure }
    let pair = costs.overlapped.map(seconds) ?? "F + I + W"
    let link = costs.link
    let bytes =
      link.bandwidth.isFinite
      ? "\(costs.messageBytes.figure) bytes at \(link.bandwidth.figure) bytes/s and " : ""
    let path = timeline.criticalPath
    return [
      "\(schedule.name): \(schedule.ranks) ranks, \(schedule.microbatches) micro-batches, "
        + "\(placement.stages) stages, \(routes) \(routes == 1 ? "route" : "routes")",
      "costs in seconds: F \(seconds(costs.forward)), I \(seconds(costs.inputGradient)), "
        + "W \(seconds(costs.weightGradient)), B = I + W, F&B \(pair); "
        + "messages \(bytes)\(link.latency.figure) s; "
        + (costs.processors.map { "\($0) \($0 == 1 ? "processor" : "processors") for all ranks" }
          ?? "a processor for each rank"),
      "makespan \(timeline.makespan.figure); mean bubble \((timeline.bubbleFraction * 100).text(1)) % of it",
      "critical path: \(path.computing.figure) computing, \(path.traveling.figure) in messages",
    ]
  }

  private var ranks: [String] {
    let hasBytes = costs.activationBytes[0] > 0
    var table = TextTable(
      words: [],
      numbers: [
        "rank", "stages", "bubble", "awaiting activations", "gradients", "after its end", "peak activations",
      ] + (hasBytes ? ["bytes"] : []))
    for rank in 0..<schedule.ranks {
      let stages = (0..<schedule.placement.slots).map {
        "\(schedule.placement.stage(at: Place(rank: rank, slot: $0)))"
      }
      let waits = [timeline.activationWait[rank], timeline.gradientWait[rank]]
      let tail = timeline.makespan - (timeline.spans[rank].last?.end ?? 0)
      table.add(
        ["\(rank)", stages.joined(separator: ","), timeline.bubble[rank].figure] + waits.map(\.figure)
          + [tail.figure, "\(timeline.peakActivations[rank])"]
          + (hasBytes ? [timeline.peakActivationBytes[rank].figure] : []))
    }
    return table.text.components(separatedBy: "\n")
  }
}

extension Double {
  /// With up to six digits, and none that say nothing.
  var figure: String { String(format: "%.6g", self) }
}
