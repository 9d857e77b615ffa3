import Communication
import Testing

@Suite struct FailureTests {
  private let purpose = Purpose("dispatch", .dispatch, layer: 12, microBatch: 3)

  @Test func aSilentRankIsNamedByThoseThatWaitForIt() throws {
    let purpose = purpose
    var loopback = World.Loopback(ranks: 4, settings: .init(timeout: 0.5), endsTogether: false) {
      // Enough for the start, and silent from then on.
      FaultyTransport($0, Faults(seed: 1, silentRanks: [2], silentAfter: 20))
    }
    loopback.nodes = [0, 0, 1, 1]
    let results = World.attempt(loopback) { world in
      let all = world.communicator
      for round in 0..<100 {
        _ = try all.exchange(counts: [round, 1, 2, 3], purpose)
      }
    }
    #expect(results.count == 4)
    for (rank, result) in results.enumerated() {
      guard case .failure(let error as CommunicationError) = result,
        case .timeout(let messages, let seconds) = error
      else {
        Issue.record("rank \(rank) ended with \(result)")
        continue
      }
      #expect(seconds >= 0.5)
      #expect(messages.allSatisfy { $0.rank == rank && $0.purpose == purpose })
      let peers = Set(messages.map(\.peer))
      // The silent one has lost what it posted last; the others miss that, or each other, who wait for it.
      if rank == 2 {
        #expect(peers.isSubset(of: [0, 1, 3]))
      } else {
        #expect(peers.contains(2), "rank \(rank)")
      }
      let text = "\(error)"
      #expect(text.contains("dispatch, layer 12, micro-batch 3"), "\(text)")
      if rank != 2 { #expect(text.contains("from rank 2 (thread-2), in group world"), "\(text)") }
    }
  }

  /// Where one side has more chunks than the other.
  @Test(arguments: [(8, 7), (7, 8), (16, 8), (8, 16), (3, 30), (30, 3), (0, 8), (8, 0)])
  func lengthsThatDoNotAgreeAreAnError(sent: Int, room: Int) throws {
    let purpose = purpose
    let loopback = World.Loopback(ranks: 2, settings: .init(timeout: 20, largestChunk: 8))
    let results = World.attempt(loopback) { world in
      let all = world.communicator
      let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 30, alignment: 8)
      defer { bytes.deallocate() }
      if all.rank == 0 {
        let message = UnsafeRawBufferPointer(rebasing: bytes[..<sent])
        try all.send(message, to: 1, tag: 0, owner: nil, purpose).wait()
      } else {
        let message = UnsafeMutableRawBufferPointer(rebasing: bytes[..<room])
        try all.receive(message, from: 0, tag: 0, owner: nil, purpose).wait()
      }
      try all.barrier()
    }
    guard case .failure(let error as CommunicationError) = results[1],
      case .lengthMismatch(let message, let expected, let arrived) = error
    else {
      Issue.record("rank 1 ended with \(results[1])")
      return
    }
    #expect(message.peer == 0 && message.purpose == purpose && expected == room)
    #expect(arrived.map { $0 < room } ?? (sent > room))
  }

  @Test func theFailureOfOneRankEndsTheWaitsOfTheOthers() throws {
    struct Broken: Error {}
    let results = World.attempt(World.Loopback(ranks: 3)) { world in
      if world.communicator.rank == 1 { throw Broken() }
      try world.communicator.barrier()
    }
    for (rank, result) in results.enumerated() {
      guard case .failure(let error) = result else {
        Issue.record("rank \(rank) did not fail")
        continue
      }
      if rank == 1 {
        #expect(error is Broken)
      } else if case .peerFailed(let peer, _)? = error as? CommunicationError {
        #expect(peer == 1)
      } else {
        Issue.record("rank \(rank) failed with \(error)")
      }
    }
    #expect(throws: Broken.self) {
      try World.loopback(ranks: 2) { world in
        if world.communicator.rank == 1 { throw Broken() }
        try world.communicator.barrier()
      }
    }
  }

  /// Both kinds: one that still lives, and one that was dropped.
  @Test(arguments: [true, false])
  func whatNobodyHasWaitedForIsTold(isDropped: Bool) throws {
    let purpose = purpose
    let results = World.attempt(World.Loopback(ranks: 1)) { world in
      let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 24, alignment: 8)
      defer { bytes.deallocate() }
      let request = try world.communicator.receive(bytes, from: 0, tag: 1, owner: nil, purpose)
      if isDropped { return }
      defer { withExtendedLifetime(request) {} }
      try world.close()
    }
    guard case .failure(let error as CommunicationError) = results[0], case .unfinished(let messages) = error
    else {
      Issue.record("ended with \(results[0])")
      return
    }
    #expect(messages.map(\.bytes) == [24] && messages[0].purpose == purpose)
    #expect("\(error)".contains("dispatch, layer 12, micro-batch 3: 24 bytes from rank 0"), "\(error)")
  }

  @Test func timeInWaitsIsExposedUnlessItIsSaidToBeHidden() throws {
    let purpose = purpose
    let exposed = try World.loopback(ranks: 2) { world in
      let all = world.communicator
      let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 8, alignment: 8)
      defer { bytes.deallocate() }
      var seconds: [Bool] = []
      for isHidden in [true, false] {
        try all.barrier()
        let before = all.counters
        if all.rank == 1 {
          let start = ContinuousClock.now
          while ContinuousClock.now - start < .milliseconds(5) {}
          try all.send(UnsafeRawBufferPointer(bytes), to: 0, tag: 0, owner: nil, purpose).wait(hidden: true)
        } else {
          try all.receive(bytes, from: 1, tag: 0, owner: nil, purpose).wait(hidden: isHidden)
        }
        seconds.append(all.counters.since(before).exposedSeconds > 0)
      }
      return seconds
    }
    #expect(exposed == [[false, true], [false, false]])
  }

  @Test func theGridRefusesWhatDoesNotFit() {
    #expect(
      ProcessGrid.faults(ranks: 8, pipeline: 1, data: 6, expert: 4) == [
        "parallel.pipeline (1) × parallel.data (6) is 6, but 8 ranks were started",
        "parallel.expert (4) does not divide parallel.data (6)",
      ])
    #expect(
      ProcessGrid.faults(ranks: 4, pipeline: 0, data: 4, expert: -1) == [
        "parallel.pipeline is 0; it must be at least 1", "parallel.expert is -1; it must be at least 1",
      ])
    #expect(ProcessGrid.faults(ranks: 8, pipeline: 2, data: 4, expert: 2) == [])
    let results = World.attempt(World.Loopback(ranks: 2)) { world in
      _ = try ProcessGrid(world: world.communicator, data: 4, expert: 1)
    }
    for result in results {
      if case .failure(let error as CommunicationError) = result, case .grid(let faults) = error {
        #expect(faults.count == 1)
      } else {
        Issue.record("ended with \(result)")
      }
    }
  }

  @Test func nobodyStartsMPIWithoutALauncher() throws {
    #expect(World.launchedRanks([:]) == nil)
    #expect(World.launchedRanks(["OMPI_COMM_WORLD_SIZE": "4"])! == ("mpirun", 4))
    #expect(World.launchedRanks(["SLURM_PROCID": "0", "SLURM_NTASKS": "4"]) == nil, "a batch script")
    #expect(World.launchedRanks(["SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"]) == nil)
    let step = ["SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "PMIX_RANK": "3"]
    #expect(World.launchedRanks(step)! == ("srun", 4))
    let world = try World.open(environment: [:])
    #expect(world.communicator.size == 1 && world.communicator.rank == 0)
    #expect(try world.communicator.allReduce([2.5], .sum) == [2.5])
    try world.close()
  }
}
