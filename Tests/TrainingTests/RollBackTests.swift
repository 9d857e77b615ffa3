import Checkpoint
import Foundation
import Model
import Tensors
import Testing

@testable import Training

extension WholeRuns {
  /// `training.non_finite: roll_back`.
  struct RollBackTests {
    private let runs: SmallRuns
    private let rollBack = ["training.non_finite=roll_back"]

    init() throws { runs = try SmallRuns() }

    /// A new run of the policy that cannot read the data of the given steps.
    private func trainer(_ name: String, bad steps: [Int], _ settings: [String] = []) throws -> Trainer {
      let trainer = try runs.trainer(name, rollBack + settings)
      try runs.poison(trainer, steps.map { try runs.token(ofStep: $0) })
      return trainer
    }

    private func rollBacks(_ name: String) throws -> [[Int?]] {
      let keys = ["step", "failed_step", "first_skipped_sample", "next_sample", "non_finite_steps"]
      return try runs.records(name, kind: "roll_back").map { record in keys.map { record[$0] as? Int } }
    }

    @Test(arguments: ["float32", "fp8"])
    func theDataSinceTheLastCheckpointArePassedOver(mode: String) throws {
      let precision = ["precision.mode=\(mode)"]
      let trainer = try trainer("a", bad: [6], precision)
      let state = try runs.run(trainer)
      #expect(state.step == 12 && state.skippedSteps == 0 && state.tokens == 12 * 32)
      #expect(state.nextSample == 24 + 4 && state.nonFinite.total == 1 && state.nonFinite.inARow == 0)
      // The same by hand.
      let head = try self.trainer("b", bad: [6], ["training.steps=4"] + precision)
      try runs.run(head)
      let tail = try runs.trainer("b", rollBack + precision)
      tail.state.nextSample = 12
      try runs.run(tail)
      #expect(try runs.tensors("a", step: 12) == runs.tensors("b", step: 12))

      #expect(try rollBacks("a") == [[5, 6, 8, 12, 1]])
      let steps = try runs.records("a", kind: "step")
      #expect(steps.map { $0["step"] as? Int } == Array(1...12))
      #expect(
        steps.map { $0["non_finite_steps"] as? Int } == [Int](repeating: 0, count: 4)
          + [Int](repeating: 1, count: 8))
      let lines = try runs.lines("a")
      #expect(lines.count == 13 && lines[4].hasPrefix("{\"kind\":\"roll_back\",\"step\":5,"))
      #expect(!lines.joined().contains("null"))
    }

    /// The poisoned weights are not the initial ones, so the rest of the run is that of a sound model.
    @Test func withoutACheckpointTheRunBeginsAnew() throws {
      let settings = ["checkpoint.every=null"]
      let state = try runs.run(try trainer("a", bad: [3], settings))
      #expect(state.step == 12 && state.nextSample == 24 + 6)
      let fresh = try runs.trainer("b", settings)
      fresh.state.nextSample = 6
      try runs.run(fresh)
      #expect(try runs.tensors("a", step: 12) == runs.tensors("b", step: 12))
      #expect(try rollBacks("a") == [[1, 3, 0, 6, 1]])
      #expect(try runs.records("a", kind: "step").map { $0["step"] as? Int } == Array(1...12))
    }

    /// A branch rolls back to the checkpoint that it began with.
    @Test func aBranchGoesBackToItsRoot() throws {
      let settings = ["checkpoint.every=null"]
      try runs.run(try trainer("a", bad: [6], ["training.steps=4"]))
      let root = ResumeChoice.path(runs.checkpoint("a", step: 4))
      try runs.run(runs.trainer("branch", rollBack + settings, resume: root))
      try runs.run(runs.trainer("a", rollBack))
      #expect(try runs.tensors("branch", step: 12) == runs.tensors("a", step: 12))
      #expect(try rollBacks("branch") == [[5, 6, 8, 12, 1]])
    }

    /// Imported weights come without moments: those of the steps that are taken back must not stay.
    @Test func aRootWithoutMomentsBringsZeros() throws {
      let settings = ["checkpoint.every=null"]
      let fresh = try runs.trainer("fresh", settings)
      let weights = fresh.model.namedTensors
      let contents = CheckpointContents(
        configuration: fresh.configuration.yaml(), step: 0, tokens: 0, nextSample: 0,
        state: RunCheckpoint.withoutMoments, tensors: weights.map(\.record)
      ) { (name, write) throws(CheckpointError) in
        try write(weights.first { $0.name == name }!.tensor.bytes)
      }
      _ = try fresh.store.save(contents)
      let root = ResumeChoice.path(runs.checkpoint("fresh", step: 0))
      let branch = try runs.trainer("branch", rollBack + settings, resume: root)
      try runs.poison(branch, [try runs.token(ofStep: 6)])
      try runs.run(branch)
      let byHand = try runs.trainer("by-hand", settings, resume: root)
      byHand.state.nextSample = 12
      try runs.run(byHand)
      #expect(try runs.tensors("branch", step: 12) == runs.tensors("by-hand", step: 12))
    }

    /// Stopped before it, in the steps that are done again, or later; with a checkpoint or, as if killed, without one.
    @Test(arguments: [(5, false), (5, true), (7, false), (6, true), (9, true), (11, false)])
    func resumingAfterItIsExact(step: Int, isSaved: Bool) throws {
      try runs.run(try trainer("whole", bad: [6]))
      let settings = ["training.steps=\(step)", "checkpoint.on_exit=\(isSaved)"]
      try runs.run(try trainer("parts", bad: [6], settings))
      let rest = try runs.trainer("parts", rollBack)
      #expect(rest.state.step == (isSaved ? step : step / 4 * 4))
      guard isSaved, step == 5 else {
        try runs.run(rest)
        try runs.expectSame("parts", "whole", step: 12)
        return
      }
      // A checkpoint between the regular one and the bad step is nearer: less is passed over.
      try runs.run(rest)
      #expect(try rollBacks("parts") == [[6, 6, 10, 12, 1]])
    }

    /// The data after the passed over ones are bad too: back to the same checkpoint, and both are told.
    @Test(arguments: [nil, 6, 7])
    func severalInARow(stop: Int?) throws {
      let whole = try runs.run(try trainer("whole", bad: [6, 7]))
      #expect(whole.nonFinite.total == 2 && whole.nonFinite.inARow == 0 && whole.nextSample == 24 + 6)
      #expect(try rollBacks("whole") == [[5, 6, 8, 12, 1], [5, 5, 8, 14, 2]])
      guard let stop else { return }
      let settings = ["training.steps=\(stop)", "checkpoint.on_exit=false"]
      try runs.run(try trainer("parts", bad: [6, 7], settings))
      try runs.run(runs.trainer("parts", rollBack))
      try runs.expectSame("parts", "whole", step: 12)
    }

    @Test func tooManyInARowEndTheRun() throws {
      let error = #expect(throws: TrainingError.self) {
        try runs.run(try trainer("a", bad: [6, 7], ["training.non_finite_limit=1"]))
      }
      guard case .nonFinite(let cause, tolerated: 1)? = error else {
        Issue.record("another error: \(String(describing: error))")
        return
      }
      #expect(cause.step == 5)
      #expect(runs.exists("a", step: 4) && !runs.exists("a", step: 8))
    }

    /// Nothing is finite from a checkpoint whose weights are spoilt: the run ends all the same.
    @Test func aSpoiltCheckpointEndsTheRun() throws {
      let head = try runs.trainer("a", ["training.steps=4"])
      try runs.run(head)
      try runs.poison(head, 0..<1024)
      _ = try RunCheckpoint(head.model, head.optimizer, head.identity).save(
        head.state, configuration: head.configuration.yaml(), to: head.store)
      let error = #expect(throws: TrainingError.self) {
        try runs.run(runs.trainer("a", rollBack + ["training.non_finite_limit=3"]))
      }
      guard case .nonFinite(_, tolerated: 3)? = error else {
        Issue.record("another error: \(String(describing: error))")
        return
      }
      #expect(try rollBacks("a").map { $0[3] } == [10, 12, 14])
    }

    @Test func aCheckpointThatIsGoneIsNamed() throws {
      try runs.run(runs.trainer("a", ["training.steps=4"]))
      let trainer = try runs.trainer("a", rollBack)
      try FileManager.default.removeItem(atPath: runs.checkpoint("a", step: 4))
      let error = #expect(throws: CheckpointError.self) {
        let step = trainer.sumGradients()
        _ = try trainer.rollBack(step, because: trainer.verdict(step))
      }
      #expect(error?.path.contains("a/checkpoints/step-4") == true)
    }

    @Test func countersThatCannotBeAreRefused() throws {
      let trainer = try runs.trainer("a", ["training.steps=4"])
      try runs.run(trainer)
      for (skipped, total) in [(5, 5), (-1, 0), (0, -1)] {
        var state = trainer.state
        (state.skippedSteps, state.nonFinite.total) = (skipped, total)
        _ = try RunCheckpoint(trainer.model, trainer.optimizer, trainer.identity).save(
          state, configuration: "", to: trainer.store)
        let error = #expect(throws: CheckpointError.self) { try runs.trainer("a") }
        #expect(error?.kind == .malformed, "\(skipped), \(total)")
      }
    }
  }
}
