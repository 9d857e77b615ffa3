import Checkpoint
import Communication
import Foundation
import Model
import Testing

@testable import Training

/// A run saved in one layout of ranks goes on in any other: all pairs of {1, 2, 4} ranks × expert {1, 2} × pipeline
/// {1; 2 by 1F1B, DualPipe, DualPipeV}. One after the other: ranks that wait would take the processors from those that
/// compute.
@Suite(.serialized) struct ReshardingTests {
  struct Layout: CustomTestStringConvertible, Equatable, Sendable {
    let ranks, expert: Int
    /// Of a pipeline of two; nil without one.
    let schedule: String?

    var pipeline: Int { schedule == nil ? 1 : 2 }
    /// What divides: a pipeline of two needs two ranks, and experts are spread over the ranks that share its place.
    var exists: Bool { ranks.isMultiple(of: pipeline * expert) }

    var testDescription: String {
      "\(ranks) ranks, expert \(expert)" + (schedule.map { ", \($0)" } ?? "")
    }

    var parallel: String {
      let stages = schedule.map { "pipeline: 2, schedule: \($0), " } ?? ""
      return "{\(stages)data: \(max(1, ranks / pipeline)), expert: \(expert)}"
    }
  }

  static let all = [1, 2, 4].flatMap { ranks in
    [1, 2].flatMap { expert in
      [nil, "1f1b", "dualpipe", "dualpipev"].map { Layout(ranks: ranks, expert: expert, schedule: $0) }
    }
  }
  static let layouts = all.filter(\.exists)
  /// From and to: to more ranks and to fewer, with and without expert parallelism, a pipeline and each schedule.
  static let representative = [
    (Layout(ranks: 1, expert: 1, schedule: nil), Layout(ranks: 4, expert: 2, schedule: "dualpipev")),
    (Layout(ranks: 4, expert: 2, schedule: "dualpipe"), Layout(ranks: 1, expert: 1, schedule: nil)),
    (Layout(ranks: 2, expert: 2, schedule: nil), Layout(ranks: 2, expert: 1, schedule: "1f1b")),
    (Layout(ranks: 2, expert: 1, schedule: "dualpipev"), Layout(ranks: 4, expert: 2, schedule: nil)),
  ]

  /// What came of some steps.
  struct Course: Sendable {
    var losses: [Double] = []
    /// The inputs of each sample that a rank with the first stage reads, in these steps and the one after them.
    var rows: [[Int32]] = []
    let begin: HeldState
    var saved: HeldState?
  }

  static let batch = 8
  /// Few tensors, as a debug build loads them some hundred times: as many layers as DualPipeV's four stages need.
  static let tiny = [
    "vocab_size=32", "hidden_size=16", "intermediate_size=32", "moe_intermediate_size=8", "q_lora_rank=8",
    "kv_lora_rank=8", "n_routed_experts=4", "num_experts_per_tok=2", "n_group=2", "topk_group=1",
  ].map { "model.\($0)" }

  private let directory = try! ReportingDirectory()

  private func store(_ name: String) -> CheckpointStore { CheckpointStore(directory: directory.file(name)) }

  static func configuration(_ layout: Layout) throws -> RunConfiguration {
    try RankRuns.configuration(
      [
        "parallel=\(layout.parallel)", "training.global_batch_size=\(batch)", "training.steps=30",
        "training.sequence_length=8",
      ] + tiny)
  }

  /// Steps from the beginning or from a checkpoint, by rank; after some of them the run is saved, and goes on.
  private func run(
    _ layout: Layout, from: String? = nil, steps: Int, saving target: String? = nil, after: Int? = nil
  ) throws -> [Course] {
    let configuration = try Self.configuration(layout)
    let (source, target) = (from.map { store($0).directory }, target.map(store))
    return try World.loopback(ranks: layout.ranks) { world in
      let resume = source.map { ResumeChoice.path($0) } ?? .apart
      let trainer = try Trainer(configuration, resume: resume, world: world.communicator)
      var course = Course(begin: HeldState(trainer))
      for step in 1...steps + 1 {
        let first = trainer.state.nextSample
        if (trainer.ranks?.grid.stage ?? 0) == 0 {
          course.rows += trainer.batches(first..<first + Self.batch).map(\.inputs)
        }
        // The one after the last step is only looked at.
        guard step <= steps else { break }
        course.losses.append(try trainer.step().losses.total)
        guard let target, step == after else { continue }
        course.saved = HeldState(trainer)
        _ = try trainer.runCheckpoint.save(trainer.state, configuration: configuration.yaml(), to: target)
      }
      return course
    }
  }

  /// The inputs of the samples of some steps from the beginning, sorted.
  private func rows(steps: Range<Int>) throws -> [[Int32]] {
    let source = try Trainer(Self.configuration(Self.layouts[0]), resume: .apart).source
    let samples = steps.lowerBound * Self.batch..<steps.upperBound * Self.batch
    return Self.sorted(samples.map { source.microBatch(first: $0, count: 1).inputs })
  }

  private static func sorted(_ rows: [[Int32]]) -> [[Int32]] {
    rows.sorted { $0.lexicographicallyPrecedes($1) }
  }

  /// Loaded by other ranks, no bit differs, of weights, moments, router biases and the position, and the samples that the
  /// next step reads are those that are due, each once.
  @Test(arguments: layouts)
  func anyLayoutToAnyLayout(_ first: Layout) throws {
    let courses = try run(first, steps: 2, saving: "saved", after: 2)
    let saved = try store("saved").open().manifest
    #expect(saved.files.count == first.ranks && saved.nextSample == 2 * Self.batch)
    let whole = try WholeState(courses.compactMap(\.saved))
    #expect(whole.tensors.count == saved.tensors.count && whole.state.step == 2)
    #expect(whole.biases.values.contains { $0.contains { $0 != 0 } } && whole.biases.count == 3)
    let due = try rows(steps: 2..<3)
    for second in Self.layouts {
      let courses = try run(second, from: "saved", steps: 0)
      #expect(try WholeState(courses.map(\.begin)) == whole, "\(second.testDescription)")
      #expect(Self.sorted(courses.flatMap(\.rows)) == due, "\(second.testDescription)")
    }
  }

  /// Going on in another layout, the losses differ as sums of another order do.
  @Test(arguments: representative)
  func twentySteps(from first: Layout, to second: Layout) throws {
    let uninterrupted = try run(first, steps: 22, saving: "saved", after: 2)
    let resumed = try run(second, from: "saved", steps: 20)
    for (run, count) in [(uninterrupted, 22), (resumed, 20)] {
      for rank in run { #expect(rank.losses == run[0].losses && rank.losses.count == count) }
    }
    for (loss, expected) in zip(resumed[0].losses, uninterrupted[0].losses[2...]) {
      #expect(abs(loss - expected) <= 1e-6 * expected, "\(loss), not \(expected)")
    }
    #expect(try Self.sorted(resumed.flatMap(\.rows)) == rows(steps: 2..<23))
  }

  /// The rest of the matrix is refused by name, and nothing is divided otherwise in silence.
  @Test(arguments: all.filter { !$0.exists })
  func doesNotExist(_ layout: Layout) throws {
    let error = try #require(throws: (any Error).self) {
      let configuration = try Self.configuration(layout)
      _ = try World.loopback(ranks: layout.ranks) { world in
        _ = try Trainer(configuration, resume: .apart, world: world.communicator)
      }
    }
    let text = "\(error)"
    #expect(
      text.contains("expert (2) must divide data (1)") || text.contains("parallel.pipeline (2)"), "\(text)")
  }

  /// Each rank writes about as much as the others.
  @Test func filesAreOfLikeSize() throws {
    let layout = Layout(ranks: 2, expert: 2, schedule: nil)
    _ = try run(layout, steps: 1, saving: "even", after: 1)
    let lengths = try store("even").open().manifest.files.map(\.digest.length)
    #expect(lengths.count == 2 && abs(lengths[0] - lengths[1]) * 20 < lengths[0], "\(lengths)")
  }
}
