import Glibc
import Testing

@testable import Communication

/// Memory that ranks of a node share: where there is none, and why.
struct NodeMemoryTests {
  /// With messages only, by choice.
  @Test func nobodyHasTo() throws {
    let settings = World.Settings(timeout: 20, sharesMemory: false)
    let results = World.attempt(World.Loopback(ranks: 3, settings: settings)) { world in
      (world.communicator.sharesMemory(with: 1), world.communicator.nodeMemoryFault)
    }
    for result in results {
      let (isShared, fault) = try result.get()
      #expect(!isShared && fault == "rank 0 on thread-0: communication.shared_memory is false")
    }
  }

  /// A rank alone on its node has nobody to share with, which is no fault.
  @Test func aRankAloneSharesNothing() throws {
    let shared = try World.loopback(ranks: 3, nodes: [0, 0, 1]) { world in
      let all = world.communicator
      return ((0..<3).map { all.sharesMemory(with: $0) }, all.nodeMemoryFault)
    }
    #expect(shared.map(\.0) == [[false, true, false], [true, false, false], [false, false, false]])
    #expect(shared.allSatisfy { $0.1 == nil })
  }

  /// What a process finds under the number of another one's file is checked before it is read.
  @Test func anotherFileIsRefused() throws {
    let own = try SharedSegment(1 << 30, ranks: 2)
    let seen = try SharedSegment(reading: own.location, ranks: 2)
    own.data.storeBytes(of: 77, as: Int.self)
    #expect(seen.data.load(as: Int.self) == 77)
    func reason(_ change: (inout SharedSegment.Location) -> Void) throws -> String {
      var location = own.location
      change(&location)
      return try #require(throws: SharedSegment.Fault.self) {
        try SharedSegment(reading: location, ranks: 2)
      }.reason
    }
    #expect(try reason { $0.name += 1 }.hasSuffix("is another one's"))
    #expect(try reason { $0.byteCount -= 4096 }.hasSuffix("is something else"))
    #expect(try reason { $0.descriptor = 1_000_000 }.contains("No such file"))
    #expect(try reason { $0 = .none } == "it offers none")
    var pipe: [Int32] = [0, 0]
    #expect(Glibc.pipe(&pipe) == 0)
    defer { for end in pipe { close(end) } }
    #expect(try reason { $0.descriptor = Int(pipe[0]) }.hasSuffix("is something else"))
    own.closeFile()
    #expect(throws: SharedSegment.Fault.self) { try SharedSegment(reading: own.location, ranks: 2) }
  }

  /// Loans that nobody gives back are an error after the time for waiting, or at the end: not a wait without end.
  @Test(arguments: [SharedSegment.slots + 1, 1])
  func loansCanRunOut(count: Int) throws {
    let loopback = World.Loopback(ranks: 2, settings: .init(timeout: 0.3), endsTogether: false)
    let results = World.attempt(loopback) { world in
      let all = world.communicator
      for _ in 0..<count { _ = try all.lend([], to: [1 - all.rank]) }
    }
    for result in results {
      let error = "\(try #require(throws: CommunicationError.self) { try result.get() })"
      #expect(error.contains(count == 1 ? "at the end 1 loans are out" : "64 loans are out to"), "\(error)")
      #expect(error.contains("communication.shared_memory: false"), "\(error)")
    }
  }

  /// A limit of the process is a reason, not a signal.
  @Test func limitsAreReasons() throws {
    let fault = try #require(throws: SharedSegment.Fault.self) { try SharedSegment(.max, ranks: 2) }
    #expect(fault.reason.contains("GB"), "\(fault.reason)")
  }
}
