import Testing

@testable import Training

/// The policy alone, without a trainer.
struct BadStepsTests {
  private typealias Policy = TrainingSection.BadStepPolicy

  /// What is done about steps, each with whether it is good.
  private func actions(
    _ policy: Policy, limit: Int, _ steps: [(Int, Bool)], _ counts: inout BadSteps
  ) -> [BadSteps.Action] {
    steps.map { action(policy, limit: limit, step: $0.0, isGood: $0.1, &counts) }
  }

  private func action(
    _ policy: Policy, limit: Int, step: Int, isGood: Bool, _ counts: inout BadSteps
  ) -> BadSteps.Action {
    guard isGood else { return counts.fail(step: step, policy: policy, limit: limit) }
    counts.pass(step: step)
    return .update
  }

  @Test(arguments: TrainingSection.BadStepPolicy.allCases)
  func goodStepsAreUpdatedAndNotCounted(policy: TrainingSection.BadStepPolicy) {
    var counts = BadSteps()
    #expect(actions(policy, limit: 1, [(1, true), (2, true)], &counts) == [.update, .update])
    #expect(counts == BadSteps())
  }

  @Test func stopStopsAtTheFirst() {
    var counts = BadSteps()
    #expect(actions(.stop, limit: 100, [(1, true), (2, false)], &counts) == [.update, .stop])
    #expect(counts == BadSteps(), "a step that ends the run is not counted: it comes again")
  }

  @Test func skippingIsForgivenByTheNextUpdate() {
    var counts = BadSteps()
    let steps = [(1, false), (2, false), (3, true), (4, false), (5, false)]
    #expect(actions(.skip, limit: 2, steps, &counts) == [.skip, .skip, .update, .skip, .skip])
    #expect(counts.total == 4 && counts.inARow == 2)
    #expect(actions(.skip, limit: 2, [(6, false)], &counts) == [.stop])
    #expect(counts.total == 4 && counts.inARow == 2)
  }

  /// Steps that were done before the bad one do not count as progress when they are done again.
  @Test func rollingBackIsForgivenAtTheFurthestStep() {
    var counts = BadSteps()
    let first = [(6, false), (5, true), (6, false), (5, false), (5, true)]
    #expect(
      actions(.rollBack, limit: 3, first, &counts) == [.rollBack, .update, .rollBack, .rollBack, .update])
    #expect(counts.inARow == 3 && counts.furthest == 6)
    var other = counts
    #expect(actions(.rollBack, limit: 3, [(6, false)], &other) == [.stop])
    #expect(actions(.rollBack, limit: 3, [(6, true), (7, false)], &counts) == [.update, .rollBack])
    #expect(counts.total == 4 && counts.inARow == 1 && counts.furthest == 7)
  }

  /// Whatever goes wrong, a step is tried a limited number of times.
  @Test func aStepThatIsNeverGoodEndsTheRun() {
    var counts = BadSteps()
    var (tries, action) = (0, BadSteps.Action.update)
    while action != .stop, tries < 100 {
      // The last checkpoint is at step 4, and step 5 is well each time.
      counts.pass(step: 5)
      action = counts.fail(step: 6, policy: .rollBack, limit: 7)
      tries += 1
    }
    #expect(tries == 8)
  }
}
