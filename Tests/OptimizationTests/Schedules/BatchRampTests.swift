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

  /// The same steps and tokens as going step by step, for ramps of all kinds, odd sizes and ends inside of steps.
  @Test func clockAgreesWithAWalk() {
    var random = Generator(state: 1)
    for _ in 0..<400 {
      let multiple = Int.random(in: 1...5, using: &random)
      let clock = TrainingClock(
        batch: BatchRamp(
          from: multiple * .random(in: 1...12, using: &random),
          to: multiple * .random(in: 1...12, using: &random),
          overTokens: .random(in: 0...3000, using: &random)),
        multiple: multiple, sequenceLength: .random(in: 1...9, using: &random))
      var ends = [0]
      while ends.count < 150 {
        ends.append(ends[ends.count - 1] + clock.tokensOfStep(after: ends[ends.count - 1]))
      }
      #expect(ends.indices.allSatisfy { clock.tokens(afterSteps: $0) == ends[$0] }, "\(clock)")
      for (step, (start, end)) in zip(ends, ends.dropFirst()).enumerated() {
        let inside = Int.random(in: start + 1...end, using: &random)
        #expect(clock.steps(reaching: inside) == step + 1, "\(clock), \(inside)")
        #expect(
          clock.lastStep(until: .tokens(inside)) == (inside == end ? step + 1 : step), "\(clock), \(inside)")
      }
    }
  }

  /// A step by step walk would take hours here.
  @Test func aLongRampOfSmallBatches() {
    let clock = TrainingClock(
      batch: BatchRamp(from: 1, to: 2, overTokens: 4_000_000_000_000), multiple: 1, sequenceLength: 2)
    // One sequence until the end of the ramp, then two.
    #expect(clock.steps(reaching: 4_000_000_000_000) == 2_000_000_000_000)
    #expect(clock.tokens(afterSteps: 2_000_000_000_001) == 4_000_000_000_004)
    let falling = TrainingClock(
      batch: BatchRamp(from: 3, to: 1, overTokens: 4_000_000_000_000), multiple: 1, sequenceLength: 2)
    // Three sequences at the very start only; then two, to the first end beyond half of the ramp, which is
    // 6 + 4 · 499,999,999,999 tokens; then one.
    #expect(falling.tokens(afterSteps: 1) == 6 && falling.tokens(afterSteps: 2) == 10)
    #expect(falling.steps(reaching: 4_000_000_000_006) == 1_500_000_000_002)
    let longest = TrainingClock(
      batch: BatchRamp(from: 1 << 12, to: 1, overTokens: .max), multiple: 1, sequenceLength: 1 << 20)
    #expect(longest.steps(reaching: 1 << 32) == 1 && longest.tokens(afterSteps: .max) == .max)
    let single = TrainingClock(
      batch: BatchRamp(from: 1, to: 2, overTokens: .max), multiple: 1, sequenceLength: 2)
    #expect(single.tokens(afterSteps: .max) == .max && single.steps(reaching: .max) == 1 << 62)
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

/// Knuth's linear congruential generator: the same cases in every run.
private struct Generator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state ^ (state >> 33)
  }
}
