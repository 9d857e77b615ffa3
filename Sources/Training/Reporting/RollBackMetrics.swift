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

  package init(step: Int, failedStep: Int, skippedSamples: Range<Int>, nonFiniteSteps: Int) {
    (self.step, self.failedStep) = (step, failedStep)
    (self.skippedSamples, self.nonFiniteSteps) = (skippedSamples, nonFiniteSteps)
  }

  package var fields: [MetricField] {
    [
      MetricField("failed_step", .integer(failedStep)),
      MetricField("first_skipped_sample", .integer(skippedSamples.lowerBound)),
      MetricField("next_sample", .integer(skippedSamples.upperBound)),
      MetricField("non_finite_steps", .integer(nonFiniteSteps)),
    ]
  }
}
