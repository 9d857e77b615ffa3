import Foundation
import Optimization
import Testing

@Suite struct BatchRampTests {
  @Test(arguments: [
    (0, 3072), (234_500_000_000, 9216), (469_000_000_000 - 1, 15_359), (469_000_000_000, 15_360),
    (14_800_000_000_000, 15_360),
  ])
  func deepSeekV3(tokens: Int, size: Int) {
    #expect(BatchRamp.deepSeekV3.size(tokens: tokens, multiple: 1) == size)
  }

  @Test func sizesAreWholeMultiples() {
    let ramp = BatchRamp(from: 8, to: 24, overTokens: 160)
    #expect(
      [0, 9, 10, 39, 40, 79, 80, 159, 160].map { ramp.size(tokens: $0, multiple: 4) } == [
        8, 8, 8, 8, 12, 12, 16, 20, 24,
      ])
    let falling = BatchRamp(from: 24, to: 8, overTokens: 160)
    #expect(
      [0, 1, 40, 41, 159, 160].map { falling.size(tokens: $0, multiple: 4) } == [24, 20, 20, 16, 8, 8])
  }

  /// Against the sum itself, step by step.
  @Test func clockAgreesWithASum() {
    let clock = TrainingClock(
      batch: BatchRamp(from: 8, to: 24, overTokens: 5000), multiple: 4, sequenceLength: 10)
    var tokens = 0
    for step in 0..<200 {
      #expect(clock.tokens(afterSteps: step) == tokens)
      #expect(clock.steps(reaching: tokens) == step)
      #expect(clock.steps(reaching: tokens + 1) == step + 1)
      tokens += clock.tokensOfStep(after: tokens)
    }
  }

  /// A ramp from a to b sequences, linear in N tokens, takes N ln(b/a) / ((b - a) T) steps.
  @Test func deepSeekV3Steps() {
    let clock = TrainingClock(batch: .deepSeekV3, multiple: 1, sequenceLength: 4096)
    let ramp = 469e9 * log(5.0) / (12_288 * 4096)
    // Rounding down to whole sequences costs up to one part in 3072.
    #expect(abs(Double(clock.steps(reaching: 469_000_000_000)) - ramp) < 5)
    let rest = (14.8e12 - 469e9) / (15_360 * 4096)
    #expect(abs(Double(clock.steps(reaching: 14_800_000_000_000)) - ramp - rest) < 6)
    #expect(clock.tokens(afterSteps: .max) == .max)
  }

  @Test(arguments: [
    (0, 0.3, 0.001), (9_999_999_999_999, 0.3, 0.001), (10_000_000_000_000, 0.1, 0.001),
    (14_299_999_999_999, 0.1, 0.001), (14_300_000_000_000, 0.1, 0), (14_800_000_000_000, 0.1, 0),
  ])
  func deepSeekV3Weights(tokens: Int, lambda: Double, gamma: Double) {
    #expect(TokenSchedule.deepSeekV3MTPLossWeight.value(tokens: tokens) == lambda)
    #expect(TokenSchedule.deepSeekV3BiasUpdateSpeed.value(tokens: tokens) == gamma)
  }

  @Test func aPlainNumberNeverChanges() {
    #expect([0, 5, .max].map { TokenSchedule(final: 0.3).value(tokens: $0) } == [0.3, 0.3, 0.3])
  }
}
