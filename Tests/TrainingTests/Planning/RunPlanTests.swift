import Communication
import Foundation
import Model
import Pipeline
import Testing

@testable import Training

/// Plans of small runs against the runs, and of DeepSeek-V3 against what is published.
@Suite struct RunPlanTests {
  static let layouts: [(ranks: Int, overrides: [String])] = [
    (2, ["parallel={data: 2, expert: 1, gradients: bfloat16}"]),
    (4, ["parallel={data: 4, expert: 2}"]),
    (4, ["parallel={data: 4, expert: 4}", "precision.mode=fp8"]),
    (2, ["parallel={pipeline: 2, schedule: 1f1b}"]),
    (4, ["parallel={pipeline: 4, schedule: dualpipe}", "precision.mode=bfloat16"]),
    (4, ["parallel={pipeline: 2, schedule: dualpipev, data: 2, expert: 2}", "precision.mode=fp8"]),
    (8, ["parallel={pipeline: 4, schedule: dualpipe, data: 2, expert: 2}", "precision.mode=bfloat16"]),
  ]

  private static func configuration(_ overrides: [String]) throws -> RunConfiguration {
    try RankRuns.configuration(
      ["model.num_hidden_layers=7", "training.global_batch_size=16", "training.sequence_length=32"]
        + overrides)
  }

  /// Bytes of a step by kind: what follows from shapes to the byte, what follows from choices of experts to 5 %.
  @Test(arguments: layouts)
  func bytesAreThoseThatAreSent(ranks: Int, overrides: [String]) throws {
    let run = try Self.configuration(overrides)
    let steps = try World.loopback(ranks: ranks) { world in
      let trainer = try Trainer(run, resume: .apart, world: world.communicator)
      _ = try trainer.step()
      return try trainer.step().traffic.sentBytes
    }
    let plan = try RunPlan(run, nodes: Array(repeating: 0, count: ranks))
    for kind in MessageKind.allCases where kind != .control {
      let expected = plan.ranks.reduce(0) { $0 + ($1.sent[kind] ?? 0) } * Double(plan.layout.data)
      let found = Double(steps[0][kind] ?? 0)
      let isChosen = kind == .dispatch || kind == .combine
      let tolerance = isChosen ? 0.05 * expected : 0.5
      #expect(abs(found - expected) <= tolerance, "\(kind): \(expected) expected, \(found) sent")
    }
  }

  /// A token goes once to each node; the rows that the two levels send, counted by the transport.
  @Test(arguments: ["one_level", "two_level"])
  func bytesBetweenNodes(exchange: String) throws {
    let run = try Self.configuration(["parallel={data: 4, expert: 4, exchange: \(exchange)}"])
    let nodes = [0, 0, 1, 1]
    let sent = try World.loopback(ranks: 4, nodes: nodes) { world in
      let trainer = try Trainer(run, resume: .apart, world: world.communicator)
      _ = try trainer.step()
      let before = world.communicator.counters
      _ = try trainer.step()
      let counts = world.communicator.counters.since(before)
      return [MessageKind.dispatch, .combine].reduce(0) { $0 + (counts.betweenNodes[$1]?.bytes ?? 0) }
    }
    let plan = try RunPlan(run, nodes: nodes)
    let (expected, found) = (4 * plan.ranks[0].exchangedBetweenNodes, Double(sent.reduce(0, +)))
    #expect(abs(found / expected - 1) < 0.06, "\(expected) expected, \(found) sent")
  }

  @Test(arguments: layouts)
  func peakOfLiveMicroBatches(ranks: Int, overrides: [String]) throws {
    let run = try Self.configuration(overrides)
    let plan = try RunPlan(run, nodes: Array(repeating: 0, count: ranks))
    guard plan.schedule != nil else { return }
    let found = try World.loopback(ranks: ranks) { world in
      try Trainer(run, resume: .apart, world: world.communicator).step().pipeline?.peakLive
    }
    #expect(plan.ranks.map(\.live).max() == found[0])
  }

  /// Everything that does not fit is said at once, as a run says it.
  @Test func faultsAreThoseOfARun() throws {
    let run = try Self.configuration([
      "parallel={pipeline: 3, schedule: dualpipe, data: 2, expert: 2, exchange_rows: 1}",
      "model.vocab_size=300",
    ])
    let error = #expect(throws: CommunicationError.self) { try RunPlan(run, nodes: [0, 0, 0, 0]) }
    let text = "\(try #require(error))"
    let parts = [
      "× parallel.data (2) is 6, but 4", "parallel.schedule: schedule dualpipe", "parallel.exchange_rows (1)",
    ]
    for part in parts { #expect(text.contains(part), "\(text)") }
    let started = World.attempt(.init(ranks: 4, endsTogether: false)) { world in
      _ = try Trainer(run, resume: .apart, world: world.communicator)
    }
    for case .failure(let failure) in started { #expect("\(failure)" == text) }
  }

  @Test func aVocabularyThatIsNotThereIsRefused() throws {
    let run = try Self.configuration(["model.vocab_size=auto", "data={directory: /nonexistent}"])
    let error = #expect(throws: ConfigurationError.self) { try RunPlan(run, nodes: [0]) }
    #expect(error.map { "\($0)" }?.contains("model.vocab_size") == true)
    #expect(try RunPlan(run, vocabulary: 256, nodes: [0]).model.vocabSize == 256)
  }

  static let v3: RunPlan? = {
    let path = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
      .appendingPathComponent("../../../../configs/deepseek-v3.yaml").standardized.path
    return try? RunPlan(RunConfiguration.load(path: path), nodes: (0..<2048).map { $0 / 8 })
  }()

  /// Source: DeepSeek-V3, arXiv:2412.19437, §3.2, §4.2; specification §5.1.
  @Test func deepSeekV3IsLaidOutAsPublished() throws {
    let plan = try #require(Self.v3)
    let layout = plan.layout
    #expect(layout.pipeline == 16 && layout.expert == 64 && layout.data == 128)
    #expect(plan.schedule?.name == "dualpipe" && plan.microbatches == 120 && plan.sequences == 15_360)
    #expect(plan.experts(ofExpertRank: 1) == 4..<8 && layout.isTwoLevel(rank: 0))
    #expect(Set(layout.expertNodes(of: 2047)).count == 8)
    // Embedding and head on one rank, and at most P + 1 micro-batches live.
    for rank in plan.ranks {
      #expect(rank.stages.contains(where: \.hasEmbedding) == rank.stages.contains(where: \.hasHead))
      #expect(rank.live == 17)
    }
    // Two expert groups and two copies of each stage divide an expert's update; all ranks of both copies the rest's.
    #expect(plan.account.replicas(segment: 10, ofExperts: true) == 4)
    #expect(plan.account.replicas(segment: 10, ofExperts: false) == 256)
  }

  /// Specification §6: 671 billion parameters of which 37 are active; 180,000 GPU hours for 10¹² tokens are 19.9 s a step.
  @Test func deepSeekV3CostsWhatIsPublished() throws {
    let plan = try #require(Self.v3)
    let count = ParameterCount(plan.model)
    #expect(count.main == 671_026_404_352)
    // Every expert lies on 4 ranks, everything else on 256, but the embedding and the ends, which fewer places hold.
    let held = plan.ranks.reduce(0) { $0 + $1.held.parameters } * plan.layout.data
    let experts = 59 * 256 * 3 * 7168 * 2048
    #expect(held == 4 * experts + 256 * (count.total - experts))
    // 6 N of the main model, without the embedding and gains, which no product reads.
    let once = ModelWork(plan.model, length: 4096, recomputation: [])
    let layers = once.parts(of: StageContents(hasEmbedding: true, layers: 0..<61, hasHead: false))
    let core = try #require(layers[.attention])
    let products = layers.values.reduce(0) { $0 + $1.total } - core.total + 6 * Double(count.head)
    let gains = count.norms + 61 * (1536 + 512)
    #expect(abs(products / 6 / Double(count.active - count.embedding - gains) - 1) < 1e-12)
    #expect(abs(products / 6 / 36.6e9 - 1) < 0.01)
    // At the speed that 180,000 GPU hours for 10¹² tokens need, a step takes as long as published, and its bubble more.
    let tokensPerRank = 1e12 / (180_000 * 3600)
    let machine = PlannedMachine(speed: tokensPerRank * plan.workOfToken.total)
    let prediction = plan.prediction(on: machine)
    let busy = prediction.makespan * (1 - prediction.bubbleFraction)
    #expect(abs(busy / 19.9 - 1) < 0.01, "\(busy) s")
    #expect(prediction.bubbleFraction > 0.02 && prediction.bubbleFraction < 0.3, "\(prediction)")
  }

  /// A pipeline on free links is what the simulator says of its stages; one rank is its work over its speed.
  @Test func predictionsFollowFromWork() throws {
    let alone = try RunPlan(Self.configuration([]), nodes: [0])
    let machine = PlannedMachine(speed: 1e9)
    let seconds = alone.workOfToken.total * Double(alone.tokens) / 1e9
    #expect(abs(alone.prediction(on: machine).step / seconds - 1) < 1e-9)
    let two = try RunPlan(
      Self.configuration(["parallel={pipeline: 2, schedule: 1f1b, expert: 1}"]), nodes: [0, 0])
    let times = two.stages.map { two.work.total(of: $0) }
    let unit = Double(two.configuration.microBatchTokens) / 1e9
    var costs = Costs(
      forward: PerStage(times.map { $0.forward * unit }),
      inputGradient: PerStage(times.map { $0.inputGradient * unit }),
      weightGradient: PerStage(times.map { $0.weightGradient * unit }))
    let free = try #require(two.schedule).asPlayed(overlapping: true).simulate(costs)
    #expect(two.prediction(on: machine).makespan == free.makespan)
    // Slow links: at least as long as the messages of the busiest of them.
    costs.link = Link(latency: 0, bandwidth: 1e3)
    let slow = two.prediction(on: PlannedMachine(speed: 1e9, link: costs.link))
    #expect(slow.makespan > Double(two.links[0].bytes) / 1e3 && slow.sums > 0)
  }
}
