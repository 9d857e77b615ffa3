internal import Foundation
internal import Model

/// What the loss of initial weights must be: the hidden states have norm √d, so logits are N(0, s²) with
/// s = √d · `initializer_range`, and the mean loss of V equally likely tokens lies between ln V and ln V + s²/2.
struct FirstLoss {
  let range: ClosedRange<Double>
  private let isSynthetic: Bool

  /// - Parameter isSynthetic: whether tokens are random; of text only a finite loss is asked for.
  init(_ model: ModelConfiguration, tokens: Int, isSynthetic: Bool) {
    let spread = Double(model.initializerRange) * Double(model.hiddenSize).squareRoot()
    let uniform = log(Double(model.vocabSize))
    // 6 standard deviations of the mean, and 2 % for what the norms' epsilon and rounding do.
    let slack = 6 * spread / Double(tokens).squareRoot() + 0.02 * uniform
    range = uniform - slack...uniform + spread * spread / 2 + slack
    self.isSynthetic = isSynthetic
  }

  /// - Throws: `StepError`.
  func check(_ loss: Double) throws(StepError) {
    guard loss.isFinite, !isSynthetic || range.contains(loss) else {
      throw StepError(loss: loss, range: isSynthetic ? range : nil)
    }
  }
}

/// A first step whose loss cannot be right. Nothing was timed.
struct StepError: Error, CustomStringConvertible {
  let loss: Double
  /// What random tokens give; nil for text.
  let range: ClosedRange<Double>?

  var description: String {
    let expected = range.map {
      "but initial weights on random tokens give \($0.lowerBound.text(3)) to \($0.upperBound.text(3))"
    }
    return "the first step's loss is \(loss) nats, \(expected ?? "which is no number"); nothing was timed"
  }
}
