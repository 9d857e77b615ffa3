internal import ArgumentParser
internal import Data
internal import Foundation
internal import Pipeline
internal import Tensors
internal import Training

/// `hadal plan CONFIG.yaml --ranks N`: what a run would hold, send and take, without starting it.
struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "What a run on so many ranks would hold, send and take.",
    discussion: """
      Starts nothing and needs no data: the machine may be another one. Refuses what `hadal train` would refuse. \
      docs/planning.md says what is counted.
      """)

  @Argument(help: "The run's configuration.", completion: .file(extensions: ["yaml", "yml"]))
  var config: String

  @Option(name: .long, help: "Replace a value of the configuration; may be repeated.")
  var set: [String] = []

  @Option(help: "Ranks that would be started.") var ranks: Int
  @Option(help: "Consecutive ranks on each node; if not given, all are on one.") var ranksPerNode: Int?
  @Option(help: "Floating-point operations per second that a rank reaches in products.") var flops: Double?
  @Flag(help: "Measure that here, with one product in the type of the run.") var measure = false
  @Option(help: "Bytes per second from a rank to others; if not given, bytes cost nothing.")
  var bandwidth: Double?
  @Option(help: "Seconds that a message travels.") var latency: Double?
  @Flag(help: "Print one JSON object.") var json = false
  @Flag(
    help: ArgumentHelp(
      "Print only the largest number of ranks, up to --ranks, by which the run can be divided.",
      discussion: "Memory is not looked at."))
  var largest = false

  /// As `parallel.data` has it.
  private static let mostRanks = 65_536

  func validate() throws {
    if !(1...Self.mostRanks ~= ranks) {
      throw ValidationError("--ranks \(ranks): must be from 1 to \(Self.mostRanks)")
    }
    if let ranksPerNode, ranksPerNode < 1 {
      throw ValidationError("--ranks-per-node \(ranksPerNode): must be at least 1")
    }
    for (option, value) in [("--flops", flops), ("--bandwidth", bandwidth)] {
      if let value, !(value > 0 && value.isFinite) {
        throw ValidationError("\(option) \(value): must be a number greater than 0")
      }
    }
    if let latency, !(latency >= 0 && latency.isFinite) {
      throw ValidationError("--latency \(latency): must be a number that is not negative")
    }
    if largest, json || measure || flops != nil {
      throw ValidationError("--largest prints one number; leave out --json, --flops and --measure")
    }
    if measure, flops != nil { throw ValidationError("--measure and --flops: give one of them") }
    if !measure, flops == nil, bandwidth != nil || latency != nil {
      throw ValidationError("--bandwidth and --latency have no effect without --flops or --measure")
    }
  }

  func run() throws {
    let configuration = try RunConfiguration.load(path: config, overrides: set)
    let nodes = (0..<ranks).map { $0 / (ranksPerNode ?? ranks) }
    let vocabulary = try Self.vocabulary(configuration)
    if largest {
      let model = try configuration.model.resolved(tokenizerVocabSize: vocabulary)
      let layout = try RankLayout.largest(configuration, model, nodes: nodes)
      return Console.write("\(layout.ranks)\n".utf8)
    }
    let plan = try RunPlan(configuration, vocabulary: vocabulary, nodes: nodes)
    let machine = try speed(configuration).map {
      PlannedMachine(
        speed: $0, link: Link(latency: latency ?? 0, bandwidth: bandwidth ?? .infinity))
    }
    if json {
      Console.write(try PlanObject(plan, machine).text.utf8)
    } else {
      Console.write(PlanReport(plan, machine).text.utf8)
    }
  }

  /// That of the tokenizer, where the configuration leaves it to one that is there.
  private static func vocabulary(_ configuration: RunConfiguration) throws -> Int? {
    guard configuration.model.vocabSize == nil else { return nil }
    let section = configuration.data
    guard let path = section.directory.map({ "\($0)/tokenizer.json" }) ?? section.tokenizer,
      FileManager.default.fileExists(atPath: path)
    else { return nil }
    return try Tokenizer(contentsOf: path).vocabularySize
  }

  private func speed(_ configuration: RunConfiguration) throws -> Double? {
    guard measure else { return flops }
    let dtype = configuration.precision.mode.dtype
    let device = try ProcessDevice.make(threads: configuration.training.threads)
    let gemm = GEMMCase(Self.product, .forward, dtype, offsets: [0, 512], on: device)
    try gemm.check()
    let (seconds, _) = Stopwatch.median(budget: 0.5) { gemm.run() }
    return gemm.flops / seconds
  }

  /// Large enough to be bound by arithmetic, small enough for any machine.
  private static let product = ModelProduct(name: "plan", outputs: 1024, inputs: 1024, uses: 1)
}
