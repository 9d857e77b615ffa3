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
      Layout(pipeline: 4, schedule: "1f1b"), Layout(pipeline: 4, schedule: "interleaved", microbatches: 6),
      Layout(pipeline: 4, schedule: "dualpipe"),
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

  /// Other cuts of the model, recomputation, and precisions: without expert or data parallelism nothing is rounded
  /// otherwise than on one rank, but the sums over micro-batches where they are taken in another order.
  @Test(arguments: [
    ["parallel={pipeline: 2, schedule: dualpipe, stages: Et*6|tL}"],
    ["parallel={pipeline: 4, schedule: 1f1b, stages: E|t*4|t*3|L}"],
    ["parallel={pipeline: 2, schedule: dualpipev, stages: Et|t|t*5|L}"],
    ["parallel={pipeline: 2, schedule: zb1p}", "training.recompute=[norms, up_projections, swiglu]"],
    ["parallel={pipeline: 4, schedule: dualpipe}", "precision.mode=bfloat16"],
    ["parallel={pipeline: 4, schedule: dualpipev}", "precision.mode=fp8"],
    ["parallel={pipeline: 2, schedule: dualpipe}", "precision.mode=fp8", "training.recompute=[norms]"],
  ])
  func others(_ overrides: [String]) throws {
    let ranks = overrides[0].contains("pipeline: 4") ? 4 : 2
    let report = try RankRuns.report(ranks, ["model.num_hidden_layers=7"] + overrides, steps: 1)
    for kind in Verification.Kind.allCases {
      let worst = try #require(report.worst[kind])
      #expect(worst.relative <= 1e-5, "\(kind): \(worst)")
    }
    #expect(report.rerouted == 0 && report.routed > 0)
  }

  /// As many micro-batches have activations on a rank as the schedule says, at most P + 1 with DualPipe.
  @Test(arguments: [("dualpipe", 4, 5), ("dualpipe", 2, 3), ("1f1b", 4, 4), ("zb1p", 4, 4), ("gpipe", 2, 8)])
  func liveMicroBatches(schedule: String, ranks: Int, live: Int) throws {
    let layout = Layout(pipeline: ranks, schedule: schedule)
    let configuration = try RankRuns.configuration(layout.overrides)
    let times = try World.loopback(ranks: ranks) { world in
      try Trainer(configuration, resume: .apart, world: world.communicator).step().pipeline
    }
    for times in times {
      let times = try #require(times)
      #expect(times.peakLive == live)
      #expect(times.makespan > 0 && (0..<1).contains(times.bubbleFraction))
    }
    #expect((times[0]?.predicted ?? 0) > 0)
  }

  /// What cannot be is refused on all ranks, with the key.
  @Test(arguments: [("dualpipe", 2), ("dualpipev", 2), ("1f1b", 4)])
  func whatDoesNotFit(schedule: String, ranks: Int) throws {
    for (overrides, words) in [
      (["training.global_batch_size=\(2 * ranks - 2)"], schedule == "1f1b" ? nil : "parallel.schedule"),
      (["parallel.stages=Et|t*6L|"], schedule == "dualpipe" ? nil : "parallel.stages"),
      (["parallel.stages=Et*7"], "end with L"),
      (["model.num_hidden_layers=1"], schedule == "dualpipe" ? nil : "at most 2"),
      (["parallel.schedule=zigzag"], "zigzag"), (["parallel.virtual_stages=2"], "virtual"),
    ] as [([String], String?)] {
      let layout = Layout(pipeline: ranks, schedule: schedule)
      let configuration = try RankRuns.configuration(layout.overrides + overrides)
      let results = World.attempt(World.Loopback(ranks: ranks)) { world in
        _ = try Trainer(configuration, resume: .apart, world: world.communicator)
      }
      for result in results {
        switch (result, words) {
        case (.failure(let error), let words?): #expect("\(error)".contains(words), "\(error)")
        case (.success, nil): break
        default: Issue.record("\(overrides): \(result)")
        }
      }
    }
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
