/// How long the rest of a run will take.
///
/// The seconds of a step are a moving average, because they change (the batch may grow, the machine is
/// shared). What passes between steps (evaluations, checkpoints) is rare and long: for it, the mean since
/// the first step.
struct StepPace {
  /// Share of the newest step in the average; that is, about the last 1 / 0.05 = 20 steps count.
  private static let newest = 0.05

  private var weightedSum = 0.0
  private var weight = 0.0
  /// Steps after the first, and what they took, from the end of the first on.
  private var stepsTimed = 0
  private var secondsInSteps = 0.0
  private var firstEnd: Double?
  private var lastEnd = 0.0

  /// - Parameters:
  ///   - seconds: What the step itself took.
  ///   - end: When it ended, in seconds after any fixed moment.
  mutating func add(seconds: Double, end: Double) {
    weightedSum += StepPace.newest * (seconds - weightedSum)
    weight += StepPace.newest * (1 - weight)
    if firstEnd == nil {
      firstEnd = end
    } else {
      stepsTimed += 1
      secondsInSteps += seconds
    }
    lastEnd = end
  }

  /// nil before the first step.
  func secondsLeft(steps: Int) -> Double? {
    guard let firstEnd else { return nil }
    let between = stepsTimed == 0 ? 0 : (lastEnd - firstEnd - secondsInSteps) / Double(stepsTimed)
    return Double(steps) * (weightedSum / weight + between)
  }
}
