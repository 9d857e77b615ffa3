import Communication
import Foundation
import Model
import Optimization
import Parallel
import Tensors
import Testing

@testable import Training

/// Pipelines of several ranks against one rank that does the same steps alone.
struct PipelineParityTests {
  /// Ranks, schedule, expert ranks.
  struct Layout: CustomTestStringConvertible, Sendable {
    let pipeline: Int
    let schedule: String
    var data = 1
    var expert = 1
    var microbatches = 8

    var testDescription: String { "\(schedule) on \(pipeline) x \(data), expert \(expert)" }

    var overrides: [String] {
      [
        "parallel={pipeline: \(pipeline), data: \(data), expert: \(expert), schedule: \(schedule)}",
        "training.global_batch_size=\(data * microbatches)", "model.num_hidden_layers=7",
      ]
    }
  }

  static let layouts: [Layout] =
    ["gpipe", "1f1b", "zb1p", "dualpipe", "dualpipev", "interleaved"].map {
      Layout(pipeline: 2, schedule: $0)
    } + [
      Layout(pipeline: 4, schedule: "1f1b"), Layout(pipeline: 4, schedule: "dualpipe"),
      Layout(pipeline: 4, schedule: "dualpipev"), Layout(pipeline: 3, schedule: "dualpipev"),
      Layout(pipeline: 8, schedule: "1f1b"), Layout(pipeline: 8, schedule: "dualpipe", microbatches: 16),
      Layout(pipeline: 2, schedule: "1f1b", data: 2, expert: 2),
      Layout(pipeline: 2, schedule: "dualpipe", data: 2, expert: 1),
      Layout(pipeline: 2, schedule: "dualpipe", data: 2, expert: 2),
      Layout(pipeline: 2, schedule: "dualpipev", data: 4, expert: 2),
      Layout(pipeline: 4, schedule: "dualpipe", data: 2, expert: 2),
    ]

  @Test(arguments: layouts)
  func float32(_ layout: Layout) throws {
    let report = try RankRuns.report(layout.pipeline * layout.data, layout.overrides, steps: 2)
    for kind in Verification.Kind.allCases {
      let worst = try #require(report.worst[kind])
      #expect(worst.relative <= 1e-5, "\(kind): \(worst)")
    }
    #expect(report.rerouted == 0 && report.routed > 0)
    let tensors = try Trainer(RankRuns.configuration(["model.num_hidden_layers=7"]), resume: .apart)
      .optimizer.gradients.count
    #expect(report.compared == [.loss: 2 * 2, .gradient: 2 * tensors, .parameter: 2 * tensors])
  }

  /// The first step's losses have the bits of one rank: nothing of it is summed in another order.
  @Test(arguments: layouts.filter { $0.data == 1 })
  func lossesAreBitEqual(_ layout: Layout) throws {
    let configuration = try RankRuns.configuration(layout.overrides)
    let losses = try World.loopback(ranks: layout.pipeline) { world in
      let metrics = try Trainer(configuration, resume: .apart, world: world.communicator).step()
      return [metrics.losses.total, metrics.losses.main, metrics.losses.balance] + metrics.losses.mtp
    }
    var alone = configuration
    alone.parallel = ParallelSection()
    let one = try Trainer(alone, resume: .apart).step().losses
    for found in losses { #expect(found == [one.total, one.main, one.balance] + one.mtp) }
  }
}
