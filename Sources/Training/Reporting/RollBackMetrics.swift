/// A roll back: where the run was, where it went on, and which data it passed over.
package struct RollBackMetrics: MetricsRecord, Hashable {
  package static let kind = "roll_back"
  package static let group = "roll_back"

  /// The first step that is done again. Not the failed one: a run that is resumed between the two has rolled back.
  package var step: Int
  package var failedStep: Int
  /// The samples `first ..< end` are not read again.
  package var skippedSamples: Range<Int>
  /// Steps so far that were not finite, this one included.
  package var nonFiniteSteps: Int
  /// Spikes of the loss so far; nil where nobody looks for them.
  package var lossSpikes: Int?
  /// The spike that is the reason; nil where a loss or gradient was not finite.
  package var spike: LossSpike?

  package init(
    step: Int, failedStep: Int, skippedSamples: Range<Int>, nonFiniteSteps: Int, lossSpikes: Int? = nil,
    spike: LossSpike? = nil
  ) {
    (self.step, self.failedStep) = (step, failedStep)
    (self.skippedSamples, self.nonFiniteSteps) = (skippedSamples, nonFiniteSteps)
    (self.lossSpikes, self.spike) = (lossSpikes, spike)
  }

  package var fields: [MetricField] {
    var fields = [
      MetricField("failed_step", .integer(failedStep)),
      MetricField("first_skipped_sample", .integer(skippedSamples.lowerBound)),
      MetricField("next_sample", .integer(skippedSamples.upperBound)),
      MetricField("non_finite_steps", .integer(nonFiniteSteps)),
      MetricField("reason", .text(spike == nil ? "non_finite" : "loss_spike")),
    ]
    if let lossSpikes { fields.append(MetricField("loss_spikes", .integer(lossSpikes))) }
    if let spike {
      let numbers = [
        ("loss_main", spike.loss), ("loss_mean", spike.mean), ("loss_deviation", spike.deviation),
      ]
      fields += numbers.map { MetricField($0, .number($1)) }
    }
    return fields
  }
}
