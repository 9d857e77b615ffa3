internal import Model

/// The `training.loss_spike` section: what a spike of the loss is, and what is done about it.
package struct LossSpikeSection: Sendable, Hashable {
  package var action = Action.off
  /// Losses.
  package var window = 100
  /// Standard deviations.
  package var deviations = 6.0
  /// Spikes in a row that do not end the run.
  package var limit = 3

  package init() {}

  package enum Action: String, Sendable, CaseIterable {
    case off, warn, stop, skip
    case rollBack = "roll_back"
  }

  /// What happens to the step; nil where it is done all the same.
  package var policy: TrainingSection.BadStepPolicy? {
    switch action {
    case .off, .warn: nil
    case .stop: .stop
    case .skip: .skip
    case .rollBack: .rollBack
    }
  }

  static let schema = Schema<LossSpikeSection>(
    initial: LossSpikeSection(),
    fields: [
      .init(
        "action", \.action, .choice(Action.self),
        "what to do about a spike: nothing, a note, stop, skip the update, or roll back to the last checkpoint and pass "
          + "over the data since"),
      .init(
        "window", \.window, .integer(2...1_000_000), unit: "steps",
        "of which mean and standard deviation are formed; older ones count less and less. As many come before the first "
          + "spike"),
      .init(
        "deviations", \.deviations, .float(.positive), unit: "standard deviations",
        "above the mean, from which on the loss of the main head is a spike"),
      .init(
        "limit", \.limit, .integer(1...1_000_000), unit: "steps",
        "spikes in a row that skip or roll_back tolerates; one more stops the run"),
    ],
    rules: [
      .init("action") {
        $0.action != .off || $0 == LossSpikeSection()
          ? nil : "is off, so the other keys of the section have no effect; set it, or leave them out"
      },
      .init("limit") {
        $0.action != .warn && $0.action != .stop || $0.limit == LossSpikeSection().limit
          ? nil
          : "has no effect with action: \($0.action.rawValue), which tolerates all spikes or none; leave it out"
      },
    ])
}
