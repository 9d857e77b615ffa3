import Model
import Testing
import Training

/// The ends of learning-rate phases, in whichever unit, must leave each phase an update.
@Suite struct PhaseEndTests {
  private func faultsOf(with overrides: [String]) -> [String] {
    faults { () throws(ConfigurationError) in
      _ = try RunConfiguration.parse(yaml: smallRun, source: "a.yaml", overrides: overrides)
    }
  }

  /// A step has 128 tokens.
  @Test(arguments: [
    (
      ["until_step: 5", "until_tokens: 767"],
      "phases.1 would have no update: it ends at 767 tokens, after update 5; "
        + "phases.0 ends at step 5, after update 5"
    ),
    (
      ["until_step: 5", "until_tokens: 100"],
      "phases.1 would have no update: it ends at 100 tokens, after update 0"
    ),
    (
      ["until_tokens: 1K", "until_step: 7"],
      "phases.1 would have no update: it ends at step 7, after update 7; "
        + "phases.0 ends at 1000 tokens, after update 7"
    ),
    (
      ["until_step: 5", "until_tokens: 768", "until_step: 6"],
      "phases.2 would have no update: it ends at step 6"
    ),
    (
      ["until_tokens: 128", "until_step: 3", "until_tokens: 511"],
      "phases.2 would have no update: it ends at 511"
    ),
    (["until_tokens: 700", "until_tokens: 710"], "phases.1 would have no update: it ends at 710 tokens"),
    (
      ["until_tokens: 127"],
      "phases.0 would have no update: it ends at 127 tokens, and the first update has 128"
    ),
  ])
  func phasesThatWouldBePassedOver(ends: [String], message: String) {
    let found = faultsOf(with: [Self.phases(ends)])
    #expect(found.count == 1 && found[0].contains("learning_rate.phases: " + message), "\(found)")
  }

  @Test(arguments: [
    ["until_step: 5", "until_tokens: 768"], ["until_tokens: 1K", "until_step: 8"], ["until_tokens: 128"],
    ["until_step: 5", "until_tokens: 768", "until_step: 7"], ["until_step: 5", "until_tokens: 14.8T"],
    ["until_tokens: 128", "until_step: 3", "until_tokens: 512", "until_step: 1000"],
  ])
  func phasesThatRise(ends: [String]) {
    #expect(faultsOf(with: [Self.phases(ends)]) == [])
  }

  private static func phases(_ ends: [String]) -> String {
    "learning_rate.phases=[" + ends.map { "{shape: linear, to: 1, \($0)}" }.joined(separator: ", ") + "]"
  }

  /// The fault is where the cause was written: here the batch, under phases that are the default.
  @Test func aBatchThatPassesOverAPhase() {
    let found = faultsOf(with: [
      "model.max_position_embeddings=1048576", "training.sequence_length=1048576",
      "training.global_batch_size=4194304",
    ])
    #expect(found.count == 1 && found[0].hasPrefix("--set training.global_batch_size: "), "\(found)")
    #expect(found[0].contains("phases.1 would have no update: it ends at 10000000000000 tokens"), "\(found)")
  }
}
