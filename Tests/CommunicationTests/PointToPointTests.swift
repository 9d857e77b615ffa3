import Communication
import Testing

@Suite struct PointToPointTests {
  @Test(arguments: [1, 2, 3, 4, 8])
  func everyRankIsHeard(ranks: Int) throws {
    let sums = try World.loopback(ranks: ranks) { world in
      let all = world.communicator
      try all.barrier()
      return try all.allReduce([all.rank + 1], .sum)[0]
    }
    #expect(sums == Array(repeating: ranks * (ranks + 1) / 2, count: ranks))
  }
}
