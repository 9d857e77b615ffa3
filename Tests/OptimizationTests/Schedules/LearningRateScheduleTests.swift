import Foundation
import Optimization
import Testing

private let trillion = 1_000_000_000_000
private let clock = TrainingClock(batch: .deepSeekV3, multiple: 1, sequenceLength: 4096)

@Suite struct LearningRateScheduleTests {
  private let schedule = LearningRateSchedule(
    phases: LearningRateSchedule.Phase.deepSeekV3, clock: clock, runEnd: .tokens(14_800 * trillion / 1000))

  @Test(arguments: [
    (0, 0, 0.0), (1, 12_582_912, 1.1e-7), (1000, 13_000_000_000, 1.1e-4), (2000, 26_000_000_000, 2.2e-4),
    (2001, 27_000_000_000, 2.2e-4), (170_000, 10 * trillion, 2.2e-4),
    (200_000, 12_150 * trillion / 1000, 1.21e-4),  // half of the cosine: the mean of its ends
    (240_000, 14_300 * trillion / 1000, 2.2e-5), (241_000, 14_400 * trillion / 1000, 2.2e-5),
    (242_000, 14_633 * trillion / 1000, 2.2e-5), (242_001, 14_633 * trillion / 1000 + 1, 7.3e-6),
    (245_000, 14_800 * trillion / 1000, 7.3e-6), (250_000, 16 * trillion, 7.3e-6),
  ])
  func deepSeekV3(step: Int, tokens: Int, rate: Double) {
    #expect(abs(schedule.value(step: step, tokens: tokens) - rate) <= 1e-12 * 2.2e-4 + 1e-14 * rate)
  }

  @Test func aQuarterOfTheCosine() {
    let quarter = schedule.value(step: 200_000, tokens: 11_075 * trillion / 1000)
    #expect(abs(quarter - (2.2e-5 + (2.2e-4 - 2.2e-5) * (2 + 2.0.squareRoot()) / 4)) < 1e-15)
  }

  @Test func aPhaseInTokensAfterOneInSteps() {
    let clock = TrainingClock(batch: .constant(4), multiple: 2, sequenceLength: 25)
    let schedule = LearningRateSchedule(
      phases: [.init(.linear, to: 1, end: .step(10)), .init(.linear, to: 0, end: .tokens(3000))],
      clock: clock,
      runEnd: .step(50))
    // 10 steps are 1000 tokens, so the fall takes 2000: at step 20 half of it is done.
    #expect(
      [5, 10, 20, 25, 30, 40].map { schedule.value(step: $0, tokens: 100 * $0) } == [0.5, 1, 0.5, 0.25, 0, 0])
  }

  @Test func aPhaseInStepsAfterOneInTokens() {
    let clock = TrainingClock(batch: .constant(4), multiple: 2, sequenceLength: 25)
    let schedule = LearningRateSchedule(
      phases: [.init(.constant, to: 2, end: .tokens(950)), .init(.linear, to: 0)], clock: clock,
      runEnd: .step(20))
    #expect([1, 9, 10, 15, 20].map { schedule.value(step: $0, tokens: 100 * $0) } == [2, 2, 2, 1, 0])
  }

  @Test func theLastPhaseEndsWithTheRun() {
    let schedule = LearningRateSchedule(
      phases: [.init(.linear, to: 1, end: .step(10)), .init(.cosine, to: 0)], clock: clock, runEnd: .step(110)
    )
    #expect(schedule.value(step: 60, tokens: 1) == 0.5)
    #expect(schedule.value(step: 110, tokens: 1) == 0 && schedule.value(step: 500, tokens: 1) == 0)
  }

  /// A run that is cut short to try something never leaves its warm-up.
  @Test func aRunThatEndsBeforeItsLastPhase() {
    let schedule = LearningRateSchedule(
      phases: [.init(.linear, to: 1, end: .step(10)), .init(.cosine, to: 0)], clock: clock, runEnd: .step(5))
    #expect(schedule.value(step: 5, tokens: 1) == 0.5)
  }

  @Test func aPhaseMayJump() {
    let schedule = LearningRateSchedule(
      phases: [.init(.constant, to: 1, end: .step(2)), .init(.linear, from: 0.5, to: 0.25, end: .step(4))],
      clock: clock, runEnd: .step(4))
    #expect([2, 3, 4].map { schedule.value(step: $0, tokens: 0) } == [1, 0.375, 0.25])
  }
}
