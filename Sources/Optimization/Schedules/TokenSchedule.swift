/// A number that changes at given counts of tokens: the MTP loss weight λ, the bias update speed γ.
package struct TokenSchedule: Sendable, Hashable {
  package struct Step: Sendable, Hashable {
    /// The value holds while fewer tokens than this have been trained on.
    package let untilTokens: Int
    package let value: Double

    package init(untilTokens: Int, value: Double) {
      self.untilTokens = untilTokens
      self.value = value
    }
  }

  /// In rising order of their ends.
  package let steps: [Step]
  /// The value after the last step.
  package let final: Double

  package init(steps: [Step] = [], final: Double) {
    precondition(
      zip(steps, steps.dropFirst()).allSatisfy { $0.untilTokens < $1.untilTokens },
      "steps must end at rising counts of tokens: \(steps.map(\.untilTokens))")
    self.steps = steps
    self.final = final
  }

  /// The value for the step that begins after `tokens`.
  package func value(tokens: Int) -> Double { steps.first { tokens < $0.untilTokens }?.value ?? final }

  /// λ of DeepSeek-V3: 0.3 for the first 10 trillion tokens, then 0.1. Source: arXiv 2412.19437, §4.2.
  package static let deepSeekV3MTPLossWeight = TokenSchedule(
    steps: [Step(untilTokens: 10_000_000_000_000, value: 0.3)], final: 0.1)

  /// γ of DeepSeek-V3: 0.001 for the first 14.3 trillion tokens, then 0. Source: arXiv 2412.19437, §4.2.
  package static let deepSeekV3BiasUpdateSpeed = TokenSchedule(
    steps: [Step(untilTokens: 14_300_000_000_000, value: 0.001)], final: 0)
}
