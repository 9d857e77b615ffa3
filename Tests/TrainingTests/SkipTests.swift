import Foundation
import Testing

@testable import Training

extension WholeRuns {
  /// `training.non_finite: skip`.
  struct SkipTests {
    private let runs: SmallRuns
    private let skip = ["training.non_finite=skip"]

    init() throws { runs = try SmallRuns() }

    @Test(arguments: ["float32", "fp8"])
    func aSkippedStepChangesNoWeightAndCounts(mode: String) throws {
      let token = try runs.token(ofStep: 6)
      let trainer = try runs.trainer("a", skip + ["checkpoint.every=1", "precision.mode=\(mode)"])
      try runs.poison(trainer, [token])
      let state = try runs.run(trainer)
      #expect(state.step == 12 && state.skippedSteps == 1 && state.tokens == 12 * 32)
      #expect(state.nextSample == 24 && state.nonFinite.total == 1 && state.nonFinite.inARow == 0)
      #expect(try runs.tensors("a", step: 6) == runs.tensors("a", step: 5))
      #expect(try runs.tensors("a", step: 7) != runs.tensors("a", step: 6))

      let steps = try runs.records("a", kind: "step")
      #expect(steps.map { $0["step"] as? Int } == Array(1...12))
      #expect(steps.map { $0["skipped"] as? Int } == (1...12).map { $0 == 6 ? 1 : nil })
      #expect(
        steps.map { $0["non_finite_steps"] as? Int } == [Int](repeating: 0, count: 5)
          + [Int](repeating: 1, count: 7))
      #expect(steps[5]["loss"] is NSNull && steps[5]["clip_coefficient"] == nil)
      #expect((steps[5]["non_finite"] as? [String])?.contains("loss") == true)
      for step in steps where step["skipped"] == nil { #expect(step["loss"] is Double, "\(step)") }
    }

    /// The data of the skipped step are gone; for the optimizer the step never was (its bias correction counts updates).
    @Test(arguments: ["float32", "fp8"])
    func trainingGoesOnAsIfTheDataHadNotBeenThere(mode: String) throws {
      let (token, precision) = (try runs.token(ofStep: 1), "precision.mode=\(mode)")
      let trainer = try runs.trainer("skipping", skip + ["training.steps=4", precision])
      try runs.poison(trainer, [token])
      try runs.run(trainer)
      let other = try runs.trainer("without", ["training.steps=3", precision])
      try runs.poison(other, [token])
      other.state.nextSample = 2
      try runs.run(other)
      #expect(try runs.tensors("skipping", step: 4) == runs.tensors("without", step: 3))
    }

    /// Stopped right before, right after or later, with a checkpoint or without one.
    @Test(arguments: [5, 6, 9], [true, false])
    func resumingAfterItIsExact(step: Int, isSaved: Bool) throws {
      let token = try runs.token(ofStep: 6)
      let whole = try runs.trainer("whole", skip)
      try runs.poison(whole, [token])
      try runs.run(whole)
      let parts = try runs.trainer(
        "parts", skip + ["training.steps=\(step)", "checkpoint.on_exit=\(isSaved)"])
      try runs.poison(parts, [token])
      try runs.run(parts)
      let rest = try runs.trainer("parts", skip)
      #expect(rest.state.step == (isSaved ? step : step / 4 * 4))
      try runs.run(rest)
      try runs.expectSame("parts", "whole", step: 12)
    }

    @Test func tooManyInARowEndTheRun() throws {
      let tokens = try (5...7).map { try runs.token(ofStep: $0) }
      let trainer = try runs.trainer("a", skip + ["training.non_finite_limit=2"])
      try runs.poison(trainer, tokens)
      let error = #expect(throws: TrainingError.self) { try runs.run(trainer) }
      guard case .nonFinite(let cause, tolerated: 2)? = error else {
        Issue.record("another error: \(String(describing: error))")
        return
      }
      #expect(cause.step == 7 && cause.tensor == "weight model.embed_tokens.weight")
      #expect("\(error!)".contains("2 times in a row before"))
      #expect("\(error!)".contains("training.non_finite_limit"))
      #expect(try runs.records("a", kind: "step").count == 6)
      #expect(runs.exists("a", step: 4) && !runs.exists("a", step: 6))
      // With a greater limit it goes on where it was saved.
      let state = try runs.run(runs.trainer("a", skip + ["training.non_finite_limit=3"]))
      #expect(state.step == 12 && state.nonFinite.total == 3)
    }
  }
}
