import Communication

enum CollectiveChecks {
  static let all = [
    Check(name: "broadcast from every rank") { try broadcast($0) },
    Check(name: "gather, with any length each") { try gather($0) },
    Check(name: "reductions, and sums in the order of ranks") { try reduce($0) },
    Check(name: "counts are exchanged") { try exchange($0) },
    Check(name: "nobody leaves a barrier before the last has come") { try barrier($0) },
  ]

  private static func broadcast(_ all: Communicator) throws {
    for root in 0..<all.size {
      let memory = all.rank == root ? Memory(pattern(root, count: 300)) : Memory(count: 300)
      try all.broadcast(memory.bytes, from: root, owner: memory, Purpose("test", .parameters))
      try expect(memory.contents, pattern(root, count: 300), "broadcast from \(root)")
    }
  }

  private static func gather(_ all: Communicator) throws {
    func piece(_ rank: Int) -> [UInt8] { pattern(rank, count: rank * 50) }
    let expected = (0..<all.size).map(piece)
    try expect(try all.allGather(piece(all.rank)), expected, "allGather")
    for root in 0..<all.size {
      try expect(
        try all.gather(piece(all.rank), to: root), all.rank == root ? expected : [], "gather to \(root)")
    }
  }

  /// Numbers whose sum depends on the order.
  private static func numbers(_ rank: Int) -> [Double] {
    [0.1 * Double(rank + 1), rank.isMultiple(of: 2) ? 1e16 : -1e16, Double(rank) - 2.5, rank == 1 ? 0 : 1]
  }

  private static func reduce(_ all: Communicator) throws {
    let ranks = (0..<all.size).map(numbers)
    let sums = ranks.dropFirst().reduce(ranks[0]) { zip($0, $1).map(+) }
    try expect(try all.allReduce(numbers(all.rank), .sum), sums, "sum")
    let highest = ranks.dropFirst().reduce(ranks[0]) { zip($0, $1).map { max($0, $1) } }
    try expect(try all.allReduce(numbers(all.rank), .maximum), highest, "maximum")
    let lowest = ranks.dropFirst().reduce(ranks[0]) { zip($0, $1).map { min($0, $1) } }
    try expect(try all.allReduce(numbers(all.rank), .minimum), lowest, "minimum")
    let agreed = all.size > 1 ? [1.0, 0] : [1, 1]
    try expect(try all.allReduce([1, numbers(all.rank)[3]], .and), agreed, "and")
    let lost = try all.allReduce([all.rank == all.size - 1 ? Double.nan : 1], .maximum)[0]
    try expect(lost.isNaN, true, "a NaN in a maximum")
    let integers = try all.allReduce([all.rank, -all.rank, Int.max / all.size], .sum)
    let total = all.size * (all.size - 1) / 2
    try expect(integers, [total, -total, Int.max / all.size * all.size], "integers")
    try expect(try all.allReduce([Int](), .sum), [], "nothing")
  }

  private static func exchange(_ all: Communicator) throws {
    let width = 3
    let counts = (0..<all.size * width).map { all.rank * 1000 + $0 }
    let expected = (0..<all.size).flatMap { peer in
      (0..<width).map { peer * 1000 + all.rank * width + $0 }
    }
    try expect(try all.exchange(counts: counts), expected, "counts")
  }

  private static func barrier(_ all: Communicator) throws {
    // Every rank tells the first that it is about to enter; behind the barrier all of that has been sent.
    let purpose = Purpose("test", .control)
    let rooms = (0..<all.size).map { _ in Memory(count: 1) }
    var requests: [Request] = []
    if all.rank == 0 {
      for peer in 0..<all.size {
        requests.append(try all.receive(rooms[peer].bytes, from: peer, tag: 0, owner: rooms[peer], purpose))
      }
    }
    let sent = Memory([UInt8(all.rank)])
    try all.send(sent.readable, to: 0, tag: 0, owner: sent, purpose).wait()
    try all.barrier()
    try waitAll(requests)
    if all.rank == 0 {
      try expect(rooms.flatMap(\.contents), (0..<all.size).map(UInt8.init), "who came")
    }
  }
}
