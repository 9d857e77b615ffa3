/// The losses that a run has lately had: mean and variance of about the last `window` of them.
///
/// With `a = 1 / min(n, window)` for the n-th loss x and `d = x − mean`: `mean += a d`, `variance = (1 − a)(variance + a d²)`.
/// The first `window` losses weigh alike; from then on older ones weigh less and less.
///
/// Source: Welford 1962; T. Finch, "Incremental calculation of weighted mean and variance".
package struct LossLevel: Sendable, Hashable {
  package var losses = 0
  package var mean = 0.0
  package var variance = 0.0

  package init() {}

  package mutating func add(_ loss: Double, window: Int) {
    losses += 1
    let (share, difference) = (1 / Double(min(losses, window)), loss - mean)
    mean += share * difference
    variance = (1 - share) * (variance + share * difference * difference)
  }

  /// Why a loss is a spike; nil if it is none, or fewer than `window` losses are known.
  /// - Parameter deviations: How many standard deviations above the mean a spike begins.
  package func spike(step: Int, loss: Double, window: Int, deviations: Double) -> LossSpike? {
    let deviation = variance.squareRoot()
    guard losses >= window, loss > mean + deviations * deviation else { return nil }
    return LossSpike(step: step, loss: loss, mean: mean, deviation: deviation)
  }
}

/// A loss that stands out, for a person.
package struct LossSpike: Sendable, Hashable, CustomStringConvertible {
  package var step: Int
  /// Of the main head, in nats per token.
  package var loss: Double
  package var mean, deviation: Double

  package var description: String {
    let digits = ProgressText.digits
    return "step \(step): the loss (\(digits(loss))) is a spike: mean and standard deviation before it are "
      + "\(digits(mean)) and \(digits(deviation))"
  }
}
