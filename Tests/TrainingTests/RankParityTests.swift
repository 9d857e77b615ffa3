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
    let runs = try [true, false].map { overlaps in
      let configuration = try RankRuns.configuration([
        "parallel={data: \(layout.data), expert: \(layout.expert), overlap: \(overlaps)}",
        "precision={mode: \(mode)}",
      ])
      let nodes = RankRuns.nodes(layout.nodes, of: layout.data)
      return try World.loopback(ranks: layout.data, nodes: nodes) { world in
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

  /// Sums of other order are rounded otherwise, by 2⁻⁹ in bfloat16 and 2⁻⁴ in E4M3, and that through three layers.
  /// Each token has all experts, so that no near tie between two of them is decided differently.
  @Test(arguments: ["bfloat16", "fp8"], [(2, 1, 1), (2, 2, 1), (4, 2, 1), (4, 4, 1), (4, 4, 2)])
  func rounded(mode: String, layout: (data: Int, expert: Int, nodes: Int)) throws {
    let report = try RankRuns.report(
      layout.data, nodes: layout.nodes,
      [
        "parallel={data: \(layout.data), expert: \(layout.expert)}", "precision={mode: \(mode)}",
        "model.num_experts_per_tok=8", "model.n_group=1", "model.topk_group=1",
      ], steps: 1)
    for kind in Verification.Kind.allCases {
      let worst = try #require(report.worst[kind])
      #expect(worst.relative <= (mode == "fp8" ? 0.1 : 0.02), "\(kind): \(worst)")
    }
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
