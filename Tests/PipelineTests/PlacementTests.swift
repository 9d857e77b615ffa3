import Testing

@testable import Pipeline

struct PlacementTests {
  @Test func dualPipeHasTwoRoutesAndEachStageTwice() {
    let placement = Placement.bidirectional(ranks: 4)
    #expect(placement.stages == 4 && placement.slots == 2 && placement.routes.count == 2)
    #expect(placement.places(of: 1) == [Place(rank: 1, slot: 0), Place(rank: 2, slot: 1)])
    #expect(placement.stage(at: Place(rank: 0, slot: 1)) == 3)
    #expect(placement.route(at: Place(rank: 0, slot: 1)) == 1)
    #expect(placement.place(before: Place(rank: 0, slot: 1)) == Place(rank: 1, slot: 1))
    #expect(placement.place(after: Place(rank: 0, slot: 1)) == nil)
    #expect(placement.place(before: Place(rank: 3, slot: 1)) == nil)
  }

  @Test func dualPipeVGoesDownAndComesBack() {
    let placement = Placement.vee(ranks: 3)
    #expect(placement.stages == 6 && placement.routes.count == 1)
    #expect(placement.stage(at: Place(rank: 1, slot: 1)) == 4)
    // On the last rank the micro-batch stays.
    #expect(placement.place(after: Place(rank: 2, slot: 0)) == Place(rank: 2, slot: 1))
    #expect(placement.place(after: Place(rank: 0, slot: 1)) == nil)
  }

  @Test func interleavedPassesAllRanksSeveralTimes() {
    let placement = Placement.interleaved(ranks: 3, virtualStages: 2)
    #expect(placement.stage(at: Place(rank: 2, slot: 1)) == 5)
    #expect(placement.place(after: Place(rank: 2, slot: 0)) == Place(rank: 0, slot: 1))
    #expect(placement.places(of: 3) == [Place(rank: 0, slot: 1)])
  }

  @Test func microbatchesAreCountedOverRoutes() throws {
    let schedule = try Schedule.named("dualpipe", ranks: 4, microbatches: 10)
    #expect(schedule.globalMicrobatch(of: Cell(slot: 0, microbatch: 4), on: 2) == 4)
    #expect(schedule.globalMicrobatch(of: Cell(slot: 1, microbatch: 0), on: 2) == 5)
    let plain = try Schedule.named("1f1b", ranks: 4, microbatches: 10)
    #expect(plain.globalMicrobatch(of: Cell(slot: 0, microbatch: 9), on: 0) == 9)
  }

  /// Routes that a file could have.
  @Test(arguments: [
    ([[(0, 0)], [(1, 0), (2, 0)]], 3, "must pass all stages"), ([[(0, 0), (0, 0)]], 1, "twice"),
    ([[(0, 0), (1, 0), (0, 1)]], 2, "same number"), ([[(0, 0), (2, 0)]], 2, "none of ranks"),
    ([[(0, 0), (1, 0)], [(0, 1), (1, 1)]], 2, "twice on one rank"), ([[]], 1, "at least one"),
  ])
  func unfitRoutesAreRefused(routes: [[(Int, Int)]], ranks: Int, words: String) {
    let places = routes.map { $0.map { Place(rank: $0.0, slot: $0.1) } }
    let error = #expect(throws: ScheduleError.self) {
      try Placement(schedule: "given", ranks: ranks, routes: places)
    }
    #expect(description(of: error).contains(words))
  }
}

struct MessageTests {
  /// Everything that is sent is received, under a tag that no other message between the two ranks has.
  @Test(arguments: Sample.all)
  func messagesMatch(sample: Sample) throws {
    let schedule = try sample.schedule()
    var (sent, received): ([Message], [Message]) = ([], [])
    for (rank, lane) in schedule.lanes.enumerated() {
      for action in lane {
        sent += schedule.placement.messages(sentBy: action, on: rank)
        received += schedule.placement.messages(receivedBy: action, on: rank)
      }
    }
    #expect(Set(sent).count == sent.count && Set(received).count == received.count)
    #expect(Set(sent) == Set(received))
    // A micro-batch crosses every border between stages twice.
    #expect(sent.count == 2 * (schedule.placement.stages - 1) * schedule.microbatches)
    let names = Set(sent.map { [$0.from.rank, $0.to.rank, $0.tag] })
    #expect(names.count == sent.count)
    let limit = 2 * schedule.placement.slots * schedule.microbatchesPerRoute
    #expect(sent.allSatisfy { 0..<limit ~= $0.tag })
    for message in sent {
      let stages = [message.from, message.to].map(schedule.placement.stage(at:))
      #expect(stages[1] - stages[0] == (message.kind == .activation ? 1 : -1), "\(message)")
    }
  }

  @Test func aPairReceivesItsActivationFirst() {
    let placement = Placement.bidirectional(ranks: 4)
    let pair = Action("F0.3&B1.1")!
    let received = placement.messages(receivedBy: pair, on: 1)
    #expect(received.map(\.from) == [Place(rank: 0, slot: 0), Place(rank: 0, slot: 1)])
    #expect(received.map(\.kind) == [.activation, .gradient])
    #expect(
      received[0].description == "activation of micro-batch 3, rank 0 slot 0 to rank 1 slot 0")
    let sent = placement.messages(sentBy: pair, on: 1)
    #expect(sent.map(\.to) == [Place(rank: 2, slot: 0), Place(rank: 2, slot: 1)])
    #expect(placement.messages(receivedBy: Action("W0.3")!, on: 1).isEmpty)
  }

  @Test func whatStaysOnARankIsLocal() {
    let sent = Placement.vee(ranks: 2).messages(sentBy: Action("F0.0")!, on: 1)
    #expect(sent.map(\.isLocal) == [true])
  }
}
