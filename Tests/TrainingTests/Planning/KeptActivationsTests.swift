import Autograd
import Communication
import Model
import Testing

@testable import Training

/// The formula of what forward keeps, against what it keeps.
@Suite struct KeptActivationsTests {
  static let cases: [[String]] = [
    [], ["training.recompute=[norms, up_projections, swiglu]"], ["training.recompute=[norms]"],
    ["model.q_lora_rank=null"],
    ["model.num_nextn_predict_layers=2", "training.recompute=[swiglu]", "training.sequence_balance_loss=0"],
    ["training.micro_batch_size=2", "training.sequence_length=32", "model.vocab_size=512"],
  ]
  static let modes: [[String]] = [
    ["precision.mode=float32"], ["precision.mode=bfloat16"], ["precision.mode=fp8"],
    ["precision={mode: fp8, fp8: {attention_output: bfloat16, swiglu_input: bfloat16}}"],
    ["precision={mode: fp8, fp8: {gemms: [fprop, dgrad]}}"],
    ["precision={mode: fp8, fp8: {gemms: [wgrad], matrices: [routed_experts, dense]}}"],
    ["precision={mode: fp8, fp8: {matrices: [attention, shared_experts]}}"],
    ["precision={mode: fp8, fp8: {matrices: [routed_experts, mtp_projection], bfloat16_last_layers: 1}}"],
  ]

  /// One rank: to the byte, but for the one number of each loss.
  @Test(arguments: cases, modes)
  func oneRank(_ overrides: [String], _ mode: [String]) throws {
    try expectToTheByte(overrides + mode)
  }

  @Test(arguments: modes.prefix(5))
  func oneRankWithLess(_ mode: [String]) throws {
    try expectToTheByte(["model.n_shared_experts=0", "model.num_nextn_predict_layers=0"] + mode)
  }

  private func expectToTheByte(_ overrides: [String]) throws {
    let run = try RankRuns.configuration(overrides)
    let trainer = try Trainer(run, resume: .apart)
    _ = try trainer.step()
    let plan = try RunPlan(run, nodes: [0])
    let (expected, found) = (plan.activationBytes(of: plan.stages[0]), trainer.activationBytes())
    // Each number alone takes a block of 64 bytes.
    let losses = 64 * (1 + plan.model.numNextnPredictLayers)
    #expect(found - losses == expected, "\(found) bytes are kept")
  }

  /// Two ranks with half the experts each: rows are as many as the router sends, so to 4 %, with the worst case above.
  @Test(arguments: [[], ["training.recompute=[norms, up_projections, swiglu]"]], modes)
  func twoRanks(_ overrides: [String], _ mode: [String]) throws {
    let run = try RankRuns.configuration(
      overrides + mode + [
        "parallel={expert: 2, exchange_rows: 100000}", "training.sequence_length=32",
        "training.micro_batch_size=4",
      ])
    let kept = try World.loopback(ranks: 2) { world in
      let trainer = try Trainer(run, resume: .apart, world: world.communicator)
      _ = try trainer.step()
      trainer.settle()
      return trainer.activationBytes()
    }
    let plan = try RunPlan(run, nodes: [0, 0])
    let (expected, found) = (plan.activationBytes(of: plan.stages[0]), (kept[0] + kept[1]) / 2)
    #expect(abs(Double(found) / Double(expected) - 1) < 0.04, "\(kept) bytes are kept, \(expected) expected")
    let worst = plan.activationBytes(of: plan.stages[0], isWorst: true)
    for bytes in kept { #expect(bytes < worst) }
  }

  /// Choices of two of four groups, then of three experts, counted one by one.
  @Test(arguments: [1, 2, 4, 8])
  func visitsAreTheMeanOverAllChoices(parts: Int) throws {
    let model = try RankRuns.configuration([]).model.resolved(tokenizerVocabSize: nil)
    var (visits, choices) = (0, 0)
    for a in 0..<8 {
      for b in a + 1..<8 {
        for c in b + 1..<8 {
          let experts = [a, b, c]
          // Each choice counts as often as pairs of groups contain it.
          for first in 0..<4 {
            for second in first + 1..<4 where experts.allSatisfy({ [first, second].contains($0 / 2) }) {
              visits += Set(experts.map { $0 * parts / 8 }).count
              choices += 1
            }
          }
        }
      }
    }
    let expected = Double(visits) / Double(choices)
    #expect(abs(model.expectedVisits(parts: parts) - expected) < 1e-12)
  }
}
