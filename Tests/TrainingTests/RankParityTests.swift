import Autograd
import Communication
import Foundation
import Model
import Optimization
import Tensors
import Testing

@testable import Training

/// Several ranks, as threads of this process, against one rank that does the same steps alone.
struct RankParityTests {
  @Test(arguments: [
    (1, 1, 1), (2, 1, 1), (2, 2, 1), (4, 1, 1), (4, 2, 1), (4, 4, 1), (8, 2, 1), (8, 8, 1),
    // In two levels: groups of ranks on several nodes.
    (4, 4, 2), (8, 8, 2), (8, 4, 4),
  ])
  func float32(data: Int, expert: Int, nodes: Int) throws {
    let report = try RankRuns.report(data, nodes: nodes, ["parallel={data: \(data), expert: \(expert)}"])
    for kind in Verification.Kind.allCases {
      let worst = try #require(report.worst[kind])
      #expect(worst.relative <= 1e-5, "\(kind): \(worst)")
    }
    #expect(report.rerouted == 0 && report.routed > 0)
    let tensors = try Trainer(RankRuns.configuration([]), resume: .apart).optimizer.gradients.count
    #expect(report.compared == [.loss: 3 * 2, .gradient: 3 * tensors, .parameter: 3 * tensors])
  }

  /// Whether the passes of two micro-batches alternate changes no bit of a run.
  @Test(arguments: [(2, 2, 1), (4, 2, 1), (4, 4, 1), (4, 4, 2)], ["float32", "fp8"])
  func overlapChangesNoBits(layout: (data: Int, expert: Int, nodes: Int), mode: String) throws {
    try expectNoBitOfOverlap(
      "data: \(layout.data), expert: \(layout.expert)", mode, ranks: layout.data, nodes: layout.nodes)
  }

  /// Nor does it in a pipeline, where weight gradients of one micro-batch wait for those of another.
  @Test(
    arguments: [
      "schedule: dualpipe", "schedule: dualpipev", "schedule: zb1p",
      "schedule: interleaved, virtual_stages: 2",
      "schedule: dualpipe, exchange_rows: 40",
    ], ["float32", "fp8"])
  func overlapChangesNoBitsOfAPipeline(schedule: String, mode: String) throws {
    try expectNoBitOfOverlap("pipeline: 2, data: 2, expert: 2, \(schedule)", mode, ranks: 4)
  }

  private func expectNoBitOfOverlap(_ layout: String, _ mode: String, ranks: Int, nodes: Int = 1) throws {
    let runs = try [true, false].map { overlaps in
      let configuration = try RankRuns.configuration([
        "parallel={\(layout), overlap: \(overlaps)}", "precision={mode: \(mode)}",
      ])
      let nodes = RankRuns.nodes(nodes, of: ranks)
      return try World.loopback(ranks: ranks, nodes: nodes) { world in
        let trainer = try Trainer(configuration, resume: .apart, world: world.communicator)
        let losses = try (0..<3).map { _ in try trainer.step().losses.total }
        let weights = trainer.optimizer.weights.flatMap { Array($0.tensor.floats) }
        return (losses, weights)
      }
    }
    for (a, b) in zip(runs[0], runs[1]) {
      #expect(a.0 == b.0 && a.0.count == 3)
      #expect(a.1 == b.1 && !a.1.isEmpty)
    }
  }

  /// Sums of other order are rounded otherwise, by 2⁻⁹ in bfloat16 and 2⁻⁴ in E4M3, and that through three layers:
  /// one rank is off from float32 by as much. Each token has all experts, so that no near tie between two of them is
  /// decided differently.
  @Test(arguments: ["bfloat16", "fp8"], [(2, 1, 1), (2, 2, 1), (4, 2, 1), (4, 4, 1), (4, 4, 2)])
  func rounded(mode: String, layout: (data: Int, expert: Int, nodes: Int)) throws {
    let report = try RankRuns.report(
      layout.data, nodes: layout.nodes,
      [
        "parallel={data: \(layout.data), expert: \(layout.expert)}", "precision={mode: \(mode)}",
        "model.num_experts_per_tok=8", "model.n_group=1", "model.topk_group=1",
      ], steps: 1)
    // What `hadal verify` allows.
    #expect(try #require(report.worst[.loss]).relative <= 0.005)
    for kind in [Verification.Kind.gradient, .parameter] {
      let (overall, rounding) = try (#require(report.overall[kind]), #require(report.rounding[kind]))
      let worst = try #require(report.worst[kind])
      #expect(overall <= rounding, "\(kind): \(worst)")
    }
    // Two independent roundings are √2 times as far from each other as either is from what they round, and in a
    // tensor of few elements somewhat more.
    let worst = try #require(report.worstBesideRounding(.gradient))
    #expect(worst.relative <= 2, "\(worst)")
  }

  /// With room for fewer rows than come, tokens go in slices, once more for their gradients.
  @Test(arguments: [(4, 4, 1), (4, 4, 2), (8, 2, 1)])
  func slices(data: Int, expert: Int, nodes: Int) throws {
    // At least half of the experts' ranks get a row of each of the 16 tokens of each rank.
    let parallel = "parallel={data: \(data), expert: \(expert), exchange_rows: \(2 * expert)}"
    let report = try RankRuns.report(data, nodes: nodes, [parallel])
    for kind in Verification.Kind.allCases {
      let worst = try #require(report.worst[kind])
      #expect(worst.relative <= 1e-5, "\(kind): \(worst)")
    }
    #expect(report.rerouted == 0 && report.routed > 0)
  }

  @Test func tooFewRows() throws {
    let configuration = try RankRuns.configuration(["parallel={data: 2, expert: 2, exchange_rows: 1}"])
    let error = try #require(throws: CommunicationError.self) {
      _ = try World.loopback(ranks: 2) { world in
        _ = try Trainer(configuration, resume: .apart, world: world.communicator)
      }
    }
    #expect("\(error)".contains("parallel.exchange_rows (1) must be at least 2"), "\(error)")
  }

  /// What one rank sees pass a limit is known to all, with the layer and who it was.
  @Test(arguments: ["warn", "fall_back"])
  func limitsThatOtherRanksPass(fallBack: String) throws {
    let configuration = try RankRuns.configuration([
      "parallel={data: 2, expert: 2}",
      "precision={mode: fp8, fp8: {health_every: 1, fall_back: \(fallBack), flushed_limit: 0.5}}",
    ])
    let outcomes = try World.loopback(ranks: 2) { world in
      let rank = world.communicator.rank
      let trainer = try Trainer(configuration, resume: .apart, world: world.communicator)
      let (monitor, layer) = (Float8Monitor(), trainer.model.float8Layers[1])
      // All but one of a tile are so small that they become zero, on the second rank.
      let values = [Float](repeating: rank == 1 ? 1e-9 : 1, count: 127) + [1]
      _ = quantizeRows(
        Tensor([1, 128], values, on: try Device(threads: 1)), ScaleSettings(),
        statistics: monitor.statistics(layer.matrices[0], .gradient, .rows))
      let record = trainer.watched(monitor, isSkipped: false)
      return (record, trainer.state.fallenBackLayers, layer.number, layer.matrices[0].name)
    }
    for (record, layers, layer, matrix) in outcomes {
      let passed = Float8Metrics.Passed(
        layer: layer, what: "\(matrix) gradient rows", key: "flushed_limit", limit: 0.5, value: 127 / 128,
        rank: 1)
      #expect(record.passed == [passed])
      #expect(record.warning?.contains("\(matrix) gradient rows on rank 1 is at") == true)
      #expect(layers == (fallBack == "warn" ? [] : [layer]) && record.fallenBack == layers.sorted())
    }
  }

  /// The record of a pipeline has the layers of all its ranks, and of what several hold the counts of all.
  @Test(arguments: ["1f1b", "dualpipe"])
  func healthOfAPipeline(schedule: String) throws {
    let configuration = try RankRuns.configuration([
      "parallel={pipeline: 2, schedule: \(schedule)}", "precision={mode: fp8, fp8: {health_every: 1}}",
    ])
    let outcomes = try World.loopback(ranks: 2) { world in
      let trainer = try Trainer(configuration, resume: .apart, world: world.communicator)
      let (monitor, device) = (Float8Monitor(), try Device(threads: 1))
      let number = Float(world.communicator.rank + 1)
      for matrix in trainer.model.float8Layers.flatMap(\.matrices) {
        _ = quantizeRows(
          Tensor([1, 128], [Float](repeating: number, count: 128), on: device), ScaleSettings(),
          statistics: monitor.statistics(matrix, .gradient, .rows))
      }
      let own = trainer.model.float8Layers.flatMap { layer in layer.matrices.map { (layer.number, $0.name) } }
      return (own.map(\.1), own.map(\.0), trainer.watched(monitor, isSkipped: false))
    }
    let (first, second) = (outcomes[0], outcomes[1])
    let whole = try Trainer(RankRuns.configuration(["precision.mode=fp8"]), resume: .apart).model
    #expect(first.2 == second.2 && Set(first.1 + second.1) == Set(whole.float8Layers.map(\.number)))
    #expect(Set(first.2.operands.map(\.matrix)) == Set(first.0 + second.0))
    #expect(first.2.operands.map(\.layer) == first.2.operands.map(\.layer).sorted())
    for operand in first.2.operands {
      let holders = [first.0, second.0].filter { $0.contains(operand.matrix) }.count
      #expect(operand.elements == 128 * holders && holders == (schedule == "dualpipe" ? 2 : 1))
      #expect(operand.amax == (second.0.contains(operand.matrix) ? 2 : 1))
    }
  }

  /// Two levels are refused by name where the ranks that share experts do not lie on nodes like that.
  @Test(arguments: [
    ([0, 0, 0, 0], 4, "all on one node"), ([0, 1, 0, 1], 4, "nodes [0, 1, 0, 1]"),
    ([0, 0, 1, 1], 2, "all on one node"), ([0, 0, 1, 1], 1, "all on one node"),
    ([0, 0, 0, 1], 4, "nodes [0, 0, 0, 1]"),
  ])
  func twoLevelsWhereTheyCannotBe(nodes: [Int], expert: Int, words: String) throws {
    let configuration = try RankRuns.configuration([
      "parallel={data: 4, expert: \(expert), exchange: two_level}"
    ])
    let error = try #require(throws: CommunicationError.self) {
      _ = try World.loopback(ranks: 4, nodes: nodes) { world in
        _ = try Trainer(configuration, resume: .apart, world: world.communicator)
      }
    }
    #expect("\(error)".contains("parallel.exchange is two_level") && "\(error)".contains(words), "\(error)")
  }
}
