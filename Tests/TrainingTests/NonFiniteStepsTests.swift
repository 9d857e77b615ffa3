import Testing

@testable import Training

/// The policy alone, without a trainer.
struct NonFiniteStepsTests {
  private typealias Policy = TrainingSection.NonFinitePolicy

  /// What is done about steps, each with whether it is finite.
  private func actions(
    _ policy: Policy, limit: Int, _ steps: [(Int, Bool)], _ counts: inout NonFiniteSteps
  ) -> [NonFiniteSteps.Action] {
    steps.map { counts.action(step: $0.0, isFinite: $0.1, policy: policy, limit: limit) }
  }

  @Test(arguments: TrainingSection.NonFinitePolicy.allCases)
  func finiteStepsAreUpdatedAndNotCounted(policy: TrainingSection.NonFinitePolicy) {
    var counts = NonFiniteSteps()
    #expect(actions(policy, limit: 1, [(1, true), (2, true)], &counts) == [.update, .update])
    #expect(counts == NonFiniteSteps())
  }

  @Test func stopStopsAtTheFirst() {
    var counts = NonFiniteSteps()
    #expect(actions(.stop, limit: 100, [(1, true), (2, false)], &counts) == [.update, .stop])
    #expect(counts == NonFiniteSteps(), "a step that ends the run is not counted: it comes again")
  }

  @Test func skippingIsForgivenByTheNextUpdate() {
    var counts = NonFiniteSteps()
    let steps = [(1, false), (2, false), (3, true), (4, false), (5, false)]
    #expect(actions(.skip, limit: 2, steps, &counts) == [.skip, .skip, .update, .skip, .skip])
    #expect(counts.total == 4 && counts.inARow == 2)
    #expect(actions(.skip, limit: 2, [(6, false)], &counts) == [.stop])
    #expect(counts.total == 4 && counts.inARow == 2)
  }

  /// Steps that were done before the bad one do not count as progress when they are done again.
  @Test func rollingBackIsForgivenAtTheFurthestStep() {
    var counts = NonFiniteSteps()
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
  @Test func aStepThatIsNeverFiniteEndsTheRun() {
    var counts = NonFiniteSteps()
    var (tries, action) = (0, NonFiniteSteps.Action.update)
    while action != .stop, tries < 100 {
      // The last checkpoint is at step 4, and step 5 is well each time.
      _ = counts.action(step: 5, isFinite: true, policy: .rollBack, limit: 7)
      action = counts.action(step: 6, isFinite: false, policy: .rollBack, limit: 7)
      tries += 1
    }
    #expect(tries == 8)
  }
}
