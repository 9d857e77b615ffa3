import Testing

@testable import Pipeline

struct VerifierTests {
  static let samples = [
    Sample("gpipe", 2, 3), Sample("1f1b", 3, 4), Sample("interleaved", 2, 4), Sample("zb1p", 4, 5),
    Sample("dualpipe", 2, 4), Sample("dualpipe", 4, 8), Sample("dualpipev", 2, 5),
  ]

  @Test(arguments: ScheduleName.allCases)
  func generatedSchedulesAreRight(name: ScheduleName) throws {
    var count = 0
    for ranks in 1...7 {
      for microbatches in 1...18 {
        for stages in name == .interleaved ? [1, 2, 3] : [nil] {
          let sample = Sample(name.rawValue, ranks, microbatches, stages)
          let isTooSmall = microbatches < 2 * ranks || name == .dualPipe && (microbatches | ranks) % 2 == 1
          if [.dualPipe, .dualPipeV].contains(name), isTooSmall { continue }
          let schedule = try sample.schedule()
          try schedule.verify()
          #expect(SlowExecutor.succeeds(schedule), "\(sample.testDescription)")
          count += 1
        }
      }
    }
    #expect(count >= 18)
  }

  @Test(arguments: samples)
  func everyDroppedActionIsMissed(sample: Sample) throws {
    let schedule = try sample.schedule()
    for (rank, lane) in schedule.lanes.enumerated() {
      for index in lane.indices {
        var mutant = schedule
        mutant.lanes[rank].remove(at: index)
        let error = #expect(throws: ScheduleError.self) { try mutant.verify() }
        guard case .fault = error else {
          Issue.record("without \(lane[index]) of rank \(rank): \(String(describing: error))")
          return
        }
      }
    }
  }

  @Test(arguments: samples)
  func everyDoubledActionIsFound(sample: Sample) throws {
    let schedule = try sample.schedule()
    for (rank, lane) in schedule.lanes.enumerated() {
      for index in lane.indices {
        for place in [index, lane.count] {
          var mutant = schedule
          mutant.lanes[rank].insert(lane[index], at: place)
          let error = #expect(throws: ScheduleError.self) { try mutant.verify() }
          guard case .fault(let fault) = error else {
            Issue.record("\(lane[index]) of rank \(rank) twice: \(String(describing: error))")
            return
          }
          #expect(fault.rank == rank && fault.reason.contains("done twice"), "\(fault)")
        }
      }
    }
  }

  /// A swap may do no harm: then an executor that only tries must come to the end.
  @Test(arguments: samples)
  func everySwapIsRefusedOrHarmless(sample: Sample) throws {
    let schedule = try sample.schedule()
    var counts = (refused: 0, harmless: 0)
    for (rank, lane) in schedule.lanes.enumerated() {
      for first in lane.indices {
        for second in lane.indices where second > first {
          var mutant = schedule
          mutant.lanes[rank].swapAt(first, second)
          try check(mutant, &counts)
        }
      }
    }
    #expect(counts.refused > 0)
    // With one micro-batch in flight nothing could be swapped; here something can.
    #expect(counts.harmless > 0)
  }

  /// Every action by every other that is one letter or number away, also ones that do not exist.
  @Test(arguments: samples)
  func everyReplacementIsRefusedOrHarmless(sample: Sample) throws {
    let schedule = try sample.schedule()
    var counts = (refused: 0, harmless: 0)
    for (rank, lane) in schedule.lanes.enumerated() {
      for (index, action) in lane.enumerated() {
        for other in Self.neighbors(of: action) {
          var mutant = schedule
          mutant.lanes[rank][index] = other
          try check(mutant, &counts)
        }
      }
    }
    #expect(counts.refused > 0 && counts.harmless == 0)
  }

  private func check(_ mutant: Schedule, _ counts: inout (refused: Int, harmless: Int)) throws {
    let isRight = SlowExecutor.succeeds(mutant)
    do {
      try mutant.verify()
      #expect(isRight, "taken, but wrong: \(mutant)")
      counts.harmless += 1
    } catch {
      #expect(!isRight, "refused, but right: \(error)")
      counts.refused += 1
    }
  }

  private static func neighbors(of action: Action) -> [Action] {
    func near(_ cell: Cell) -> [Cell] {
      [(0, 1), (0, -1), (1, 0), (-1, 0), (0, 1000)].map {
        Cell(slot: cell.slot + $0.0, microbatch: cell.microbatch + $0.1)
      }
    }
    if case .overlapped(let ahead, let back) = action {
      return near(ahead).map { .overlapped(forward: $0, backward: back) }
        + near(back).map { .overlapped(forward: ahead, backward: $0) }
        + [.forward(ahead), .backward(back), .overlapped(forward: back, backward: ahead)]
    }
    guard let cell = action.forwardCell ?? action.gradientCell ?? action.weightCell else { return [] }
    let kinds: [(Cell) -> Action] = [
      Action.forward, Action.backward, Action.inputGradient, Action.weightGradient,
    ]
    let others = kinds.flatMap { kind in near(cell).map(kind) + [kind(cell)] }
    return others.filter { $0 != action }
  }
}

/// What the verifier says.
struct VerifierMessageTests {
  private func message(_ sample: Sample, _ change: (inout [[Action]]) -> Void) throws -> String {
    var schedule = try sample.schedule()
    change(&schedule.lanes)
    let error = #expect(throws: ScheduleError.self) { try schedule.verify() }
    return description(of: error)
  }

  private let plain = Sample("1f1b", 3, 4)

  @Test func aMissingForwardIsNamedWhereItIsAwaited() throws {
    #expect(
      try message(plain) { $0[1].removeAll { $0 == Action("F0.2")! || $0 == Action("B0.2")! } }
        == "schedule 1f1b: rank 2, index 4 (F0.2): awaits the activation of micro-batch 2 from rank 1 slot 0, "
        + "which no action sends: there F0.2 is missing")
  }

  @Test func aMissingGradientIsNamedWhereItIsAwaited() throws {
    #expect(
      try message(plain) { $0[2].removeAll { $0 == Action("B0.3")! } }
        == "schedule 1f1b: rank 1, index 7 (B0.3): awaits the gradient of micro-batch 3 from rank 2 slot 0, "
        + "which no action sends: there I0.3 is missing")
  }

  @Test func aForgottenWeightGradientIsNamedAtTheEnd() throws {
    #expect(
      try message(Sample("zb1p", 2, 3)) { $0[1].removeLast() }
        == "schedule zb1p: rank 1, index 8 (end): W0.2 is missing")
  }

  @Test func aWeightGradientAfterAWholeBackwardIsOneTooMany() throws {
    #expect(
      try message(plain) { $0[2].insert(Action("W0.0")!, at: 2) }
        == "schedule 1f1b: rank 2, index 2 (W0.0): the weight gradient of 0.0 is done twice, "
        + "first by B0.0 at index 1")
  }

  @Test func aBackwardBeforeItsForward() throws {
    #expect(
      try message(plain) { $0[2].swapAt(0, 1) }
        == "schedule 1f1b: rank 2, index 0 (B0.0): awaits F0.0 of its own rank, which comes later, at index 1"
    )
  }

  @Test func aPairOfOneCell() throws {
    #expect(
      try message(plain) { $0[2].replaceSubrange(0...1, with: [Action("F0.0&B0.0")!]) }
        == "schedule 1f1b: rank 2, index 0 (F0.0&B0.0): awaits F0.0 of its own rank, "
        + "which begins at the same time")
  }

  @Test func aWeightGradientBeforeItsInputGradient() throws {
    #expect(
      try message(Sample("zb1p", 2, 2)) { $0[0].swapAt(2, 3) }
        == "schedule zb1p: rank 0, index 2 (W0.0): awaits I0.0 of its own rank, which comes later, at index 3"
    )
  }

  @Test func slotsAndMicrobatchesThatDoNotExist() throws {
    #expect(
      try message(plain) { $0[1][0] = Action("F1.0")! }
        == "schedule 1f1b: rank 1, index 0 (F1.0): slot 1 is none of 0 to 0")
    #expect(
      try message(plain) { $0[1][0] = Action("F0.4")! }
        == "schedule 1f1b: rank 1, index 0 (F0.4): micro-batch 4 is none of 0 to 3")
  }

  @Test func ranksThatWaitForEachOther() throws {
    let text = try message(plain) { lanes in
      // Rank 1 wants a gradient before it sends the activation that rank 2 needs for it.
      lanes[2] = ["F0.1", "F0.0", "B0.0", "B0.1", "F0.2", "B0.2", "F0.3", "B0.3"].map { Action($0)! }
      lanes[1] = ["F0.0", "B0.0", "F0.1", "B0.1", "F0.2", "B0.2", "F0.3", "B0.3"].map { Action($0)! }
    }
    #expect(
      text == """
        schedule 1f1b: ranks wait for each other:
        rank 1, index 1 (B0.0): awaits the gradient of micro-batch 0, rank 2 slot 0 to rank 1 slot 0, \
        which is sent by B0.0 at index 2 of rank 2
        rank 2, index 0 (F0.1): awaits the activation of micro-batch 1, rank 1 slot 0 to rank 2 slot 0, \
        which is sent by F0.1 at index 2 of rank 1
        """)
  }

  @Test func aRankThatWaitsForItself() throws {
    let text = try message(Sample("dualpipev", 1, 2)) { $0[0].swapAt(0, 1) }
    #expect(
      text == """
        schedule dualpipev: ranks wait for each other:
        rank 0, index 0 (F1.0): awaits F0.0 at index 1 of rank 0
        """)
  }

  @Test func aChainOfWaitsAtAnyMoment() throws {
    let schedule = try plain.schedule()
    // Rank 0 has sent two micro-batches, rank 1 has done none, and could.
    let waits = try schedule.waits(from: 2, at: [2, 0, 0])
    #expect(waits.map(\.rank) == [2])
    #expect(waits[0].awaitedRank == 1 && waits[0].awaited == Action("F0.0")!)
    #expect(waits[0].message?.kind == .activation)
    #expect(try schedule.waits(from: 1, at: [2, 0, 0]).isEmpty)
    #expect(try schedule.waits(from: 0, at: [8, 8, 8]).isEmpty)
  }
}
