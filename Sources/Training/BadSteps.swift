/// Counts steps that went wrong in one way, and says what is done about each.
///
/// Knows no tensors, and takes "is the step good?" as a value, so all who take part in a step can agree on it first.
package struct BadSteps: Sendable, Equatable {
  /// Of the whole run, those that a roll back has taken back included.
  package var total = 0
  /// Since the run last got as far as the furthest of them.
  package var inARow = 0
  /// The highest step of those in a row; 0 when there are none.
  package var furthest = 0

  package init() {}

  /// What is done with the gradients of a step.
  package enum Action: Sendable, Equatable {
    /// They become an update.
    case update
    /// They are dropped, and the step counts.
    case skip
    /// They are dropped, and so is everything since the last checkpoint but the position in the data.
    case rollBack
    /// They are dropped, and the run ends.
    case stop
  }

  /// Of a step that is good in every way.
  /// - Parameter step: Its number, from 1.
  package mutating func pass(step: Int) {
    // After a roll back the steps before the bad one come again: passing them is no sign that it is over.
    if step >= furthest { (inARow, furthest) = (0, 0) }
  }

  /// Counts a bad step, unless the run ends with it.
  /// - Parameters:
  ///   - step: Its number, from 1.
  ///   - limit: How many in a row are tolerated.
  package mutating func fail(step: Int, policy: TrainingSection.BadStepPolicy, limit: Int) -> Action {
    guard policy != .stop, inARow < limit else { return .stop }
    (total, inARow, furthest) = (total + 1, inARow + 1, max(furthest, step))
    return policy == .skip ? .skip : .rollBack
  }
}
