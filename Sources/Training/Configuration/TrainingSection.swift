package import Model
package import Optimization

/// The `training` section: how long, on how much at a time, with which losses.
package struct TrainingSection: Sendable, Hashable {
  package var steps: Int?
  package var tokens: Int?
  package var sequenceLength = 4096
  /// Sequences.
  package var microBatchSize = 1
  /// Sequences.
  package var globalBatchSize = BatchRamp.deepSeekV3
  package var seed = 0
  /// λ.
  package var mtpLossWeight = TokenSchedule.deepSeekV3MTPLossWeight
  package var mtpDocumentBoundaries = false
  package var documentAttentionMask = false
  /// γ.
  package var biasUpdateSpeed = TokenSchedule.deepSeekV3BiasUpdateSpeed
  /// α.
  package var sequenceBalanceLoss: Float = 1e-4
  package var expertBalanceLoss: Float = 0
  package var deviceBalanceLoss: Float = 0
  package var communicationBalanceLoss: Float = 0
  /// D, the parts that the last two losses divide the experts into; nil for `model.n_group`.
  package var balanceDevices: Int?
  package var recompute: [RecomputedPart] = []
  package var packedWeights = PackedWeights.none
  /// nil for as many as the machine has cores.
  package var threads: Int?
  package var nonFinite = BadStepPolicy.stop
  /// Steps in a row that are not finite and do not end the run.
  package var nonFiniteLimit = 10
  package var lossSpike = LossSpikeSection()

  package init() {}

  package var documentBoundaries: DocumentBoundaries {
    var boundaries: DocumentBoundaries = []
    if documentAttentionMask { boundaries.insert(.attention) }
    if mtpDocumentBoundaries { boundaries.insert(.multiTokenPrediction) }
    return boundaries
  }

  /// What the backward pass computes again instead of keeping it.
  package enum RecomputedPart: String, Sendable, CaseIterable {
    case norms, upProjections = "up_projections", swiglu
  }

  /// The products whose packed weights are kept from one update to the next.
  package enum PackedWeights: String, Sendable, CaseIterable {
    case none, forward, both
  }

  /// What is done about a step that must not become an update.
  package enum BadStepPolicy: String, Sendable, CaseIterable {
    case stop, skip, rollBack = "roll_back"
  }

  static let schema = Schema<TrainingSection>(
    initial: TrainingSection(), fields: lengthFields + lossFields + machineFields,
    rules: [
      .init("steps", "tokens") {
        $0.steps == nil && $0.tokens == nil ? "neither steps nor tokens is given; the run would not end" : nil
      },
      .init("global_batch_size", "micro_batch_size") { section in
        let sizes = [section.globalBatchSize.from, section.globalBatchSize.to]
        guard let size = sizes.first(where: { !$0.isMultiple(of: section.microBatchSize) }) else {
          return nil
        }
        return
          "global_batch_size (\(size)) must be a multiple of micro_batch_size (\(section.microBatchSize))"
      },
      .init("recompute") {
        Set($0.recompute).count == $0.recompute.count ? nil : "a part is named twice"
      },
    ])

  private static let lengthFields: [Schema<TrainingSection>.Field] = [
    .init("steps", \.steps, ValueKind.integer(1...1_000_000_000).optional(), "length of the run"),
    .init(
      "tokens", \.tokens, ValueKind.someTokens.optional(), unit: "tokens",
      "length of the run; with steps too, whichever comes first"),
    .init("sequence_length", \.sequenceLength, .integer(2...(1 << 20)), unit: "tokens", "length of a row"),
    .init(
      "micro_batch_size", \.microBatchSize, .integer(1...(1 << 16)), unit: "sequences",
      "rows computed at a time on one rank"),
    .init(
      "global_batch_size", \.globalBatchSize, ScheduleKinds.batch, unit: "sequences",
      "rows of one optimizer step: a number, or a ramp that is linear in tokens"),
    .init("seed", \.seed, .integer(0...), "of initial weights and of the order of the data"),
  ]

  private static let lossFields: [Schema<TrainingSection>.Field] = [
    .init(
      "mtp_loss_weight", \.mtpLossWeight, ScheduleKinds.byTokens, "λ, the weight of the MTP loss"),
    .init(
      "mtp_document_boundaries", \.mtpDocumentBoundaries, .bool,
      "MTP depth k skips positions whose token k ahead is of another document"),
    .init(
      "document_attention_mask", \.documentAttentionMask, .bool,
      "tokens see only those of their own document, which begins after an end-of-text (V3: false)"),
    .init(
      "bias_update_speed", \.biasUpdateSpeed, ScheduleKinds.byTokens,
      "γ, by which a router's bias moves each step"),
    .init(
      "sequence_balance_loss", \.sequenceBalanceLoss, .float(.notNegative),
      "α of V3's balance loss within a sequence"),
    .init(
      "expert_balance_loss", \.expertBalanceLoss, .float(.notNegative),
      "α₁ of V2's balance loss over experts (V2: 0.003)"),
    .init(
      "device_balance_loss", \.deviceBalanceLoss, .float(.notNegative),
      "α₂ of V2's balance loss over devices (V2: 0.05)"),
    .init(
      "communication_balance_loss", \.communicationBalanceLoss, .float(.notNegative),
      "α₃ of V2's balance loss over what devices receive (V2: 0.02)"),
    .init(
      "balance_devices", \.balanceDevices, ValueKind.integer(1...1024).optional("auto"),
      "D, the devices of those two losses; auto: model.n_group"),
  ]

  private static let machineFields: [Schema<TrainingSection>.Field] = [
    .init(
      "recompute", \.recompute, ValueKind.choice(RecomputedPart.self).list(),
      "what the backward pass computes again, to save memory; FP8 layers always do so with norms and swiglu"),
    .init(
      "packed_weights", \.packedWeights, .choice(PackedWeights.self),
      "for which products weights are packed once an update and kept: none, forward, or both forward and the "
        + "gradient of the input. No bit of the result depends on it; it takes up to 4 bytes a weight for each"
    ),
    .init(
      "threads", \.threads, ValueKind.integer(1...4096).optional("auto"),
      "worker threads; auto: one a core. The result does not depend on it"),
    .init(
      "non_finite", \.nonFinite, .choice(BadStepPolicy.self),
      "what to do about a loss or gradient that is no number: stop, skip the update, or roll back to the last "
        + "checkpoint and pass over the data since"),
    .init(
      "non_finite_limit", \.nonFiniteLimit, .integer(1...1_000_000), unit: "steps",
      "such steps in a row that skip or roll_back tolerates; one more stops the run"),
    .init(
      "loss_spike", \.lossSpike, .section(LossSpikeSection.schema),
      "what a spike of the loss is, and what is done about it"),
  ]
}
