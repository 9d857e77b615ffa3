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

  /// A rank that cannot is named with its reason, and nobody else's is told.
  @Test func theRankThatCannotIsNamed() throws {
    // One page is less than the head of a segment.
    let loopback = World.Loopback(ranks: 3, settings: .init(timeout: 20, lendableBytes: SharedSegment.page))
    for result in World.attempt(loopback, { $0.communicator.nodeMemoryFault }) {
      #expect(try result.get() == "rank 0 on thread-0: 4096 bytes are less than a page more than its head")
    }
  }

  /// Loans that nobody gives back are an error after the time for waiting, or at the end: not a wait without end.
  @Test(arguments: [(SharedSegment.slots + 1, 2.0), (1, 20.0)])
  func loansCanRunOut(count: Int, timeout: Double) throws {
    let loopback = World.Loopback(ranks: 2, settings: .init(timeout: timeout), endsTogether: false)
    let results = World.attempt(loopback) { world in
      let all = world.communicator
      for _ in 0..<count { _ = try all.lend([], to: [1 - all.rank]) }
    }
    for (rank, result) in results.enumerated() {
      let error = "\(try #require(throws: CommunicationError.self) { try result.get() })"
      let words =
        count == 1
        ? "at the end loans are out to rank \(1 - rank)"
        : "all \(SharedSegment.slots) loans of a rank are out to rank \(1 - rank)"
      #expect(error.contains(words), "\(error)")
      #expect(error.contains("communication.shared_memory: false"), "\(error)")
    }
  }

  /// Limits of a process are reasons, not signals.
  @Test func limitsAreReasons() {
    func reason(_ files: rlim_t, _ addresses: rlim_t) -> String? {
      SharedSegment.fault(5 << 30, fileLimit: files, addressLimit: addresses)?.reason
    }
    #expect(reason(.max, .max) == nil && reason(5 << 30, .max) == nil)
    #expect(reason(5 << 30 - 1, .max) == "files of 5 GB are not allowed (ulimit -f)")
    #expect(reason(.max, 1 << 45) == "the address space is limited (ulimit -v)")
  }

  @Test func whatCannotBeMadeIsAReason() throws {
    #expect(throws: SharedSegment.Fault.self) { try SharedSegment(.max / 4096 * 4096, ranks: 2) }
  }
}
