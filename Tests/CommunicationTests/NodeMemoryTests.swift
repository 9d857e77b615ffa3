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
    let own = try SharedSegment(ranks: 2)
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
  }

  /// Loans that nobody gives back are an error, not a wait without end.
  @Test func loansCanRunOut() throws {
    let errors = try World.loopback(ranks: 2) { world in
      let all = world.communicator
      for _ in 0..<SharedSegment.slots { _ = try all.lend([], to: [1 - all.rank]) }
      return "\(try #require(throws: CommunicationError.self) { try all.lend([], to: [1 - all.rank]) })"
    }
    for error in errors {
      #expect(error.hasPrefix("64 loans are out to other ranks of the node"), "\(error)")
      #expect(error.contains("communication.shared_memory: false"), "\(error)")
    }
  }
}
