import Autograd
import Foundation
import Model
import Testing

@testable import Training

extension WholeRuns {
  /// Steps in which FP8 is watched, and layers that leave it.
  struct Float8HealthTests {
    private let runs: SmallRuns

    init() throws { runs = try SmallRuns() }

    /// In tiles of 16 rows some gradients are flushed in every step.
    private func fp8(_ keys: String) -> [String] { ["precision={mode: fp8, fp8: {\(keys)}}"] }

    private var fallsBack: [String] {
      fp8("health_every: 5, fall_back: fall_back, flushed_limit: 0.001")
    }

    private func steps(_ name: String) throws -> [String] {
      try runs.lines(name).filter { $0.hasPrefix("{\"kind\":\"step\"") }
    }

    private func layers(_ record: [String: Any]) -> [Int] { record["fallen_back"] as? [Int] ?? [] }

    @Test func recordsChangeNoBit() throws {
      try runs.run(runs.trainer("watched", fp8("health_every: 2")))
      try runs.run(runs.trainer("not", fp8("health_every: null")))
      #expect(try runs.tensors("watched", step: 12) == runs.tensors("not", step: 12))
      #expect(try steps("watched") == runs.lines("not"))
      let records = try runs.records("watched", kind: "fp8")
      #expect(records.map { $0["step"] as? Int } == [2, 4, 6, 8, 10, 12])
      // The first products of the model, one after the other.
      let products = records.map { $0["shadow_gemm"] as? String }
      #expect(products == ["fprop", "dgrad", "wgrad", "fprop", "dgrad", "wgrad"])
      let matrices = records.map { $0["shadow_matrix"] as? String }
      #expect(matrices[0] == "model.layers.0.self_attn.q_a_proj" && matrices[2] == matrices[0])
      #expect(matrices[3] == "model.layers.0.self_attn.q_b_proj" && matrices[5] == matrices[3])
      for record in records {
        let operands = try #require(record["operands"] as? [[String: Any]])
        // 5 matrices of attention in three layers, 2 of a dense one, 4 of two with experts; 5 operands each.
        #expect(operands.count == 5 * (15 + 2 + 8))
        let error = try #require(record["shadow_error"] as? Double)
        #expect(error > 0.01 && error < 0.1)
        let flushed = operands.filter { $0["role"] as? String == "gradient" }.compactMap {
          $0["flushed"] as? Double
        }
        #expect(record["gradient_flushed"] as? Double == flushed.max())
        #expect(record["passed"] == nil && record["fallen_back"] == nil)
      }
    }

    @Test func threadsChangeNoRecord() throws {
      for threads in 1...3 {
        try runs.run(
          runs.trainer(
            "\(threads)", fp8("health_every: 3") + ["training.threads=\(threads)", "training.steps=6"]))
      }
      #expect(try runs.lines("1") == runs.lines("2") && runs.lines("1") == runs.lines("3"))
    }

    @Test func warningChangesNothing() throws {
      try runs.run(runs.trainer("warned", fp8("health_every: 3, fall_back: warn, shadow_limit: 0")))
      try runs.run(runs.trainer("not", fp8("health_every: null")))
      #expect(try runs.tensors("warned", step: 12) == runs.tensors("not", step: 12))
      #expect(try steps("warned") == runs.lines("not"))
      for record in try runs.records("warned", kind: "fp8") {
        let passed = try #require(record["passed"] as? [[String: Any]])
        #expect(passed.count == 1 && passed[0]["limit"] as? String == "shadow_limit")
        #expect(passed[0]["value"] as? Double == record["shadow_error"] as? Double)
        #expect(layers(record).isEmpty)
      }
    }

    /// The layers that pass the limit in step 5 are in bfloat16 from step 6 on, and no sooner.
    @Test func layersFallBack() throws {
      let state = try runs.run(runs.trainer("a", fallsBack))
      let records = try runs.records("a", kind: "fp8")
      let first = layers(records[0])
      #expect(!first.isEmpty && first.count < 3, "not a test of single layers: \(first)")
      let passed = try #require(records[0]["passed"] as? [[String: Any]])
      #expect(passed.allSatisfy { ($0["value"] as? Double ?? 0) > 0.001 })
      #expect(state.fallenBackLayers == Set(first + layers(records[1])))
      let counts = try runs.records("a", kind: "step").map { $0["fp8_fallen_back"] as? Int }
      #expect(
        counts == [Int](repeating: 0, count: 5) + [Int](repeating: first.count, count: 5)
          + [Int](repeating: state.fallenBackLayers.count, count: 2))
      // The next record has no operand of them.
      let operands = try #require(records[1]["operands"] as? [[String: Any]])
      let names = operands.compactMap { $0["matrix"] as? String }
      #expect(names.count == operands.count)
      #expect(!names.contains { name in first.contains { name.hasPrefix("model.layers.\($0).") } })

      // The same by hand.
      let watched = fp8("health_every: null")
      try runs.run(runs.trainer("b", watched + ["training.steps=5"]))
      #expect(try runs.tensors("a", step: 4) == runs.tensors("b", step: 4))
      let middle = try runs.trainer("b", watched + ["training.steps=10"])
      middle.model.setFallenBack(layers: Set(first))
      try runs.run(middle)
      let end = try runs.trainer("b", watched)
      end.model.setFallenBack(layers: state.fallenBackLayers)
      try runs.run(end)
      #expect(try runs.tensors("a", step: 12) == runs.tensors("b", step: 12))
      try runs.run(runs.trainer("never", watched))
      #expect(try runs.tensors("a", step: 12) != runs.tensors("never", step: 12))
    }

    /// Stopped before, with, and after it; with a checkpoint or, as if killed, without one.
    @Test(arguments: [(4, true), (5, true), (5, false), (9, false)])
    func resumingIsExact(step: Int, isSaved: Bool) throws {
      try runs.run(runs.trainer("whole", fallsBack))
      let settings = ["training.steps=\(step)", "checkpoint.on_exit=\(isSaved)"]
      try runs.run(runs.trainer("parts", fallsBack + settings))
      try runs.run(runs.trainer("parts", fallsBack))
      try runs.expectSame("parts", "whole", step: 12)
    }

    /// A layer that left FP8 after the last checkpoint is taken back with everything else.
    @Test(arguments: [6, 11])
    func rollingBackTakesItBack(stop: Int) throws {
      let settings = fallsBack + ["training.non_finite=roll_back"]
      func bad(_ name: String, _ more: [String] = []) throws -> Trainer {
        let trainer = try runs.trainer(name, settings + more)
        try runs.poison(trainer, [try runs.token(ofStep: 6)])
        return trainer
      }
      let state = try runs.run(try bad("whole"))
      #expect(state.step == 12 && state.nonFinite.total == 1 && !state.fallenBackLayers.isEmpty)
      let kinds = try runs.lines("whole").map { $0.prefix(15) }
      #expect(kinds.count { $0.contains("fp8") } == 2 && kinds.count { $0.contains("roll") } == 1)
      let counts = try runs.records("whole", kind: "step").map { $0["fp8_fallen_back"] as? Int ?? -1 }
      #expect(counts.prefix(5).allSatisfy { $0 == 0 } && counts.dropFirst(5).allSatisfy { $0 > 0 })
      try runs.run(try bad("parts", ["training.steps=\(stop)", "checkpoint.on_exit=false"]))
      try runs.run(runs.trainer("parts", settings))
      try runs.expectSame("parts", "whole", step: 12)
    }

    /// What is not finite has a policy of its own.
    @Test func aSkippedStepDecidesNothing() throws {
      let trainer = try runs.trainer("a", fallsBack + ["training.non_finite=skip"])
      try runs.poison(trainer, [try runs.token(ofStep: 5)])
      try runs.run(trainer)
      let records = try runs.records("a", kind: "fp8")
      #expect(records.count == 2)
      #expect(records[0]["activation_non_finite"] as? Double ?? 0 > 0)
      #expect(records[0]["passed"] == nil && layers(records[0]).isEmpty && !layers(records[1]).isEmpty)
    }

    @Test func aRunThatLetsNoneFallBackReturnsToFP8() throws {
      let state = try runs.run(runs.trainer("a", fallsBack + ["training.steps=8"]))
      let other = try runs.trainer("a", fp8("health_every: 5, fall_back: warn"))
      let list = state.fallenBackLayers.sorted().map(String.init).joined(separator: ", ")
      #expect(other.notes.contains { $0.hasPrefix("layers \(list) had left FP8") }, "\(other.notes)")
      #expect(other.state.fallenBackLayers.isEmpty)
      #expect(other.model.float8Layers.allSatisfy { $0.matrices.allSatisfy { !$0.hasFallenBack } })
    }

    @Test func layersThatCannotBeAreRefused() throws {
      let trainer = try runs.trainer("a", fallsBack + ["training.steps=4"])
      try runs.run(trainer)
      var state = trainer.state
      state.fallenBackLayers = [1, -2]
      _ = try RunCheckpoint(trainer.model, trainer.optimizer, trainer.identity).save(
        state, configuration: "", to: trainer.store)
      let error = #expect(throws: (any Error).self) { try runs.trainer("a", fallsBack) }
      #expect("\(error!)".contains("fp8.fallen_back should be numbers of layers with commas"), "\(error!)")
    }
  }
}
