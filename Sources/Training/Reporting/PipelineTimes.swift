/// How well the ranks of a pipeline were used in a step.
package struct PipelineTimes: Hashable, Sendable {
  /// Share of the makespan in which a rank computed nothing: the mean over the ranks.
  package var bubbleFraction: Double
  /// Seconds from the first action to the last message, of the rank that took longest.
  package var makespan: Double
  /// What the simulator gives for the times that the actions took, with free messages.
  package var predicted: Double
  /// The most micro-batches that had activations at once on a rank, a stage's each.
  package var peakLive: Int

  package init(bubbleFraction: Double, makespan: Double, predicted: Double, peakLive: Int) {
    (self.bubbleFraction, self.makespan) = (bubbleFraction, makespan)
    (self.predicted, self.peakLive) = (predicted, peakLive)
  }

  var fields: [MetricField] {
    [
      MetricField("bubble_fraction", .number(bubbleFraction)),
      MetricField("makespan_seconds", .number(makespan)),
      MetricField("predicted_makespan_seconds", .number(predicted)),
      MetricField("peak_live_micro_batches", .integer(peakLive)),
    ]
  }
}
