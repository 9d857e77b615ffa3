import Checkpoint
import Communication
import Foundation
import Testing

@testable import Training

/// A run saved in one layout of ranks goes on in any other.
struct ReshardingTests {
  struct Layout: CustomTestStringConvertible, Sendable {
    let ranks: Int
    let parallel: String

    var testDescription: String { parallel }
  }

  static let layouts = [
    Layout(ranks: 1, parallel: "{pipeline: 1, data: 1, expert: 1}"),
    Layout(ranks: 2, parallel: "{data: 2, expert: 1}"), Layout(ranks: 2, parallel: "{data: 2, expert: 2}"),
    Layout(ranks: 2, parallel: "{pipeline: 2, data: 1, schedule: dualpipe}"),
    Layout(ranks: 4, parallel: "{pipeline: 2, data: 2, expert: 1, schedule: 1f1b}"),
    Layout(ranks: 4, parallel: "{pipeline: 2, data: 2, expert: 2, schedule: dualpipev}"),
  ]

  private let directory = try! ReportingDirectory()

  private func store(_ name: String) -> CheckpointStore { CheckpointStore(directory: directory.file(name)) }

  static func configuration(_ layout: Layout) throws -> RunConfiguration {
    try RankRuns.configuration([
      "parallel=\(layout.parallel)", "training.global_batch_size=16", "training.steps=8",
      "model.num_hidden_layers=4",
    ])
  }

  /// Some steps from the beginning or from a checkpoint, then a save, then more steps.
  /// - Returns: the losses of the steps after the save.
  private func run(
    _ layout: Layout, from: String? = nil, steps: Int, to target: String?, then more: Int
  ) throws -> [Double] {
    let configuration = try Self.configuration(layout)
    let (source, target) = (from.map { store($0).directory }, target.map(store))
    let losses = try World.loopback(ranks: layout.ranks) { world in
      let resume = source.map { ResumeChoice.path($0) } ?? .apart
      let trainer = try Trainer(configuration, resume: resume, world: world.communicator)
      for _ in 0..<steps { _ = try trainer.step() }
      trainer.settle()
      if let target {
        let checkpoint = trainer.runCheckpoint
        _ = try checkpoint.save(trainer.state, configuration: configuration.yaml(), to: target)
      }
      return try (0..<more).map { _ in try trainer.step().losses.total }
    }
    for other in losses { #expect(other == losses[0]) }
    return losses[0]
  }

  /// Every element of every tensor.
  private func tensors(_ name: String) throws -> [String: [UInt8]] {
    let checkpoint = try store(name).open()
    var tensors: [String: [UInt8]] = [:]
    for name in checkpoint.names {
      let count = try checkpoint.entry(name).byteCount
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
      defer { buffer.deallocate() }
      try checkpoint.copy(name, to: buffer)
      tensors[name] = Array(buffer)
    }
    return tensors
  }

  /// Loaded and saved again, no bit differs; the losses of the next steps differ as sums of another order do.
  @Test(arguments: layouts)
  func anyLayoutToAnyLayout(_ first: Layout) throws {
    let expected = try run(first, steps: 2, to: "first", then: 3)
    let saved = try tensors("first")
    let files = try store("first").open().manifest.files.count
    #expect(files == first.ranks)
    for (index, second) in Self.layouts.enumerated() {
      let losses = try run(second, from: "first", steps: 0, to: "again-\(index)", then: 3)
      #expect(try tensors("again-\(index)") == saved, "\(second.parallel)")
      for (loss, expected) in zip(losses, expected) {
        #expect(abs(loss - expected) <= 1e-6 * expected, "\(second.parallel): \(losses) \(expected)")
      }
      if second.parallel == first.parallel { #expect(losses == expected) }
      #expect(losses.count == 3)
    }
  }

  /// Each rank writes about as much as the others.
  @Test func filesAreOfLikeSize() throws {
    _ = try run(Self.layouts[2], steps: 1, to: "even", then: 0)
    let lengths = try store("even").open().manifest.files.map(\.digest.length)
    #expect(lengths.count == 2 && abs(lengths[0] - lengths[1]) * 20 < lengths[0], "\(lengths)")
  }
}
