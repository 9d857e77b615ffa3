internal import ArgumentParser
internal import Pipeline

/// `hadal schedule NAME`: what each rank of a pipeline does, and how long it takes.
struct ScheduleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schedule", abstract: "Print and simulate a pipeline schedule.",
    discussion: """
      NAME is \(ScheduleName.list), or the path of a file (with a / or ending in .schedule), which states \
      ranks and micro-batches itself. The text that is printed is such a file. Costs are of one stage and \
      one micro-batch; docs/schedules.md says what the simulator takes for granted.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json, svg, trace }

  @Argument(help: "A schedule, or a file.") var name: String
  @Option(help: "Ranks of the pipeline.") var ranks: Int?
  @Option(help: "Micro-batches of a step, of both directions together.") var microbatches: Int?
  @Option(help: "Stages of a rank, in interleaved; 2 if not given.") var virtualStages: Int?
  @Option(help: "Seconds of a forward.") var forward = 1.0
  @Option(help: "Seconds of an input gradient.") var inputGradient = 1.0
  @Option(help: "Seconds of a weight gradient; a whole backward takes both.") var weightGradient = 1.0
  @Option(help: "Seconds of an overlapped pair; if not given, of its parts together.") var overlapped: Double?
  @Option(help: "Bytes of a message between stages.") var messageBytes = 0.0
  @Option(help: "Bytes per second of a link; if not given, bytes cost nothing.") var bandwidth: Double?
  @Option(help: "Seconds that a message travels.") var latency = 0.0
  @Option(help: "Bytes that a forward keeps for its backward; text then shows each rank's peak.")
  var activationBytes = 0.0
  @Option(help: "Processors that all ranks share; if not given, each has its own.") var processors: Int?
  @Option(help: "text, json, svg, or trace: events for chrome://tracing and Perfetto.") var format = Format
    .text

  func run() throws {
    let schedule = try schedule()
    let costs = try costs()
    let report = ScheduleReport(schedule: schedule, costs: costs, timeline: try schedule.simulate(costs))
    switch format {
    case .text: Console.write(report.text.utf8)
    case .json: Console.write(report.json.utf8)
    case .svg: Console.write(ScheduleDrawing(report).svg.utf8)
    case .trace: Console.write(report.trace.utf8)
    }
  }

  private func schedule() throws -> Schedule {
    if !Schedule.isPath(name) {
      if ScheduleName(rawValue: name) == nil { throw ScheduleError.unknownName(name) }
      for (option, value) in [("--ranks", ranks), ("--microbatches", microbatches)] where value == nil {
        throw OptionError(option: option, reason: "is not given, and only a schedule from a file states it")
      }
    }
    return try Schedule.named(
      name, ranks: ranks, microbatches: microbatches, virtualStages: virtualStages)
  }

  private func costs() throws(OptionError) -> Costs {
    if bandwidth != nil, messageBytes == 0 {
      throw OptionError(option: "--bandwidth", reason: "has no effect without --message-bytes")
    }
    if bandwidth == nil, messageBytes != 0 {
      throw OptionError(option: "--message-bytes", reason: "has no effect without --bandwidth")
    }
    var costs = Costs(
      forward: PerStage(forward), inputGradient: PerStage(inputGradient),
      weightGradient: PerStage(weightGradient), overlapped: overlapped.map { PerStage($0) })
    costs.messageBytes = messageBytes
    costs.link = Link(latency: latency, bandwidth: bandwidth ?? .infinity)
    costs.processors = processors
    costs.activationBytes = PerStage(activationBytes)
    return costs
  }
}
