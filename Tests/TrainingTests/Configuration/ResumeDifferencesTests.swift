import Testing

@testable import Training

/// What is said about a run that goes on with other settings.
struct ResumeDifferencesTests {
  private let runs: SmallRuns

  init() throws { runs = try SmallRuns() }

  private func differences(
    _ settings: [String] = [], before: [String] = [], ranks: (Int?, Int) = (1, 1)
  ) throws -> ResumeDifferences {
    ResumeDifferences(
      from: try runs.configuration("a", before), to: try runs.configuration("a", before + settings),
      ranks: ranks)
  }

  @Test func whatChangesNoNumberIsNotMentioned() throws {
    let settings = [
      "run.name=b", "logging.every=1", "checkpoint.keep=7", "checkpoint.directory=/b",
      "evaluation.max_tokens=5",
      "communication.timeout=3", "training.threads=1", "training.recompute=[norms]",
      "training.packed_weights=both", "parallel.overlap=false", "training.steps=20",
    ]
    let differences = try differences(settings)
    #expect(differences.notes.isEmpty, "\(differences)")
    #expect(try self.differences(ranks: (nil, 4)).notes.isEmpty)
    let health = ["precision.fp8.health_every=7", "precision.fp8.fall_back=warn"]
    #expect(try self.differences(health, before: ["precision.mode=fp8"]).notes.isEmpty)
  }

  @Test func eachOtherSettingIsNamedWithBothValues() throws {
    let differences = try differences(
      [
        "optimizer.weight_decay=0.2", "precision.fp8.amax_floor=0.001", "training.global_batch_size=8",
        "parallel.pipeline=2", "parallel.schedule=zb1p", "training.micro_batch_size=2",
      ], before: ["precision.mode=fp8"])
    #expect(
      differences.changing == [
        "optimizer.weight_decay was 0.1, is 0.2", "precision.fp8.amax_floor was 0.0001, is 0.001",
        "training.global_batch_size was 2, is 8",
      ])
    #expect(
      differences.rounding == [
        "parallel.pipeline was 1, is 2", "parallel.schedule was auto, is zb1p",
        "training.micro_batch_size was 1, is 2",
      ])
  }

  /// A cosine to the end of the run has another rate in every step when the run is longer.
  @Test func theLengthOfTheRunCountsWhereTheRateDependsOnIt() throws {
    let cosine = ["learning_rate.phases=[{shape: cosine, from: 1.0e-3, to: 1.0e-4}]"]
    #expect(try differences(["training.steps=20"]).changing.isEmpty)
    #expect(
      try differences(["training.steps=20"], before: cosine).changing == ["training.steps was 12, is 20"])
  }

  /// While the batch grows, what divides it also says to what it is rounded.
  @Test func ofAGrowingBatchTheLayoutIsMoreThanAnOrder() throws {
    let layout = ["training.micro_batch_size=2"]
    let fixed = try differences(layout, ranks: (1, 2))
    #expect(fixed.changing.isEmpty)
    #expect(fixed.rounding == ["ranks was 1, is 2", "training.micro_batch_size was 1, is 2"])
    let ramp = ["training.global_batch_size={from: 4, to: 8, over_tokens: 1000}"]
    let growing = try differences(layout, before: ramp, ranks: (1, 2))
    #expect(growing.rounding.isEmpty && growing.changing == fixed.rounding)
    let exchange = try differences(["parallel.exchange=one_level"], before: ramp)
    #expect(exchange.changing.isEmpty && exchange.rounding == ["parallel.exchange was auto, is one_level"])
  }

  @Test func policiesAreNamedApart() throws {
    let policies = ["training.non_finite=skip", "training.loss_spike={action: warn}", "checkpoint.every=7"]
    let differences = try differences(policies)
    #expect(
      differences.badSteps == [
        "training.loss_spike.action was off, is warn", "training.non_finite was stop, is skip",
      ])
    #expect(differences.changing.isEmpty && differences.rounding.isEmpty)
    let every = try self.differences(["checkpoint.every=7"], before: ["training.non_finite=roll_back"])
    #expect(every.badSteps == ["checkpoint.every was 4, is 7"])
    let limit = ["precision.fp8.flushed_limit=0.2"]
    let falling = ["precision.mode=fp8", "precision.fp8.fall_back=fall_back"]
    #expect(try self.differences(limit, before: falling).changing.count == 1)
  }

  /// A key that is renamed would be taken for one that changes everything.
  @Test func theKeysExist() throws {
    let keys = Set(ResumeDifferences.values(of: try runs.configuration("a", ["precision.mode=fp8"])).keys)
    let sets = [
      ResumeDifferences.changingNothing, ResumeDifferences.dividing, ResumeDifferences.dividingTheBatch,
      ResumeDifferences.handlingBadSteps,
      ResumeDifferences.placingCheckpoints, ResumeDifferences.watchingFloat8, ResumeDifferences.length,
    ]
    for key in sets.joined() {
      #expect(keys.contains { $0 == key || $0.hasPrefix("\(key).") }, "\(key)")
    }
  }

  /// A section instead of a number.
  @Test func valuesOfAnotherFormAreNamed() throws {
    let ramp = try differences(["training.global_batch_size={from: 4, to: 8, over_tokens: 1000}"])
    #expect(ramp.changing.contains("training.global_batch_size was 2, is absent"), "\(ramp.changing)")
    #expect(ramp.changing.contains("training.global_batch_size.to was absent, is 8"), "\(ramp.changing)")
  }

  @Test func aRunSaysSoWhenItGoesOn() throws {
    try runs.run(runs.trainer("a", ["training.steps=4"]))
    #expect(try runs.trainer("a").notes.count == 1)
    let notes = try runs.trainer("a", ["optimizer.weight_decay=0.3", "training.micro_batch_size=2"]).notes
    let expected = [
      "settings that change what follows: optimizer.weight_decay was 0.1, is 0.3",
      "settings that change the order of sums, so that losses differ by rounding: "
        + "training.micro_batch_size was 1, is 2",
    ]
    #expect(Array(notes.dropFirst()) == expected, "\(notes)")
  }
}
