import Communication

/// What ranks of a node read of each other.
enum LendingChecks {
  static let all = [
    Check(name: "loans are read where they lie, and counted as what they stand for") { try lend($0) },
    Check(name: "a loan is kept until all have given it back") { try keep($0) },
  ]

  private static let purpose = Purpose("rows", .dispatch, layer: 1)

  /// Each rank lends one piece to all others of its node; they are told which part is theirs.
  private static func lend(_ all: Communicator) throws {
    let near = (0..<all.size).filter { all.sharesMemory(with: $0) }
    let expected = (0..<all.size).filter { $0 != all.rank && all.nodes[$0] == all.nodes[all.rank] }
    try expect(near, expected, "ranks that share memory")
    guard let memory = all.nodeMemory else { return try all.barrier() }
    let count = 100
    for round in 0..<3 {
      let before = all.counters
      let notes = try near.map {
        try all.askForLoan(of: $0, numbers: 2, tag: 7, standingFor: count, purpose)
      }
      let address = try slab(of: memory, count * all.size)
      let place = try found(memory.offset(of: address), "offset of own memory")
      for peer in near {
        let bytes = UnsafeMutableRawBufferPointer(start: address + peer * count, count: count)
        bytes.copyBytes(from: pattern(all.rank, peer, round, count: count))
      }
      let loan = try all.lend([], to: near)
      let offers = try near.map {
        try all.offer(loan, [place + $0 * count, round], to: $0, tag: 7, standingFor: count, purpose)
      }
      try waitAll(offers + notes.map(\.request))
      for (peer, note) in zip(near, notes) {
        let (lent, numbers) = note.open()
        try expect(numbers[1], round, "number with the loan")
        let bytes = Array(lent.bytes(at: numbers[0], count))
        try expect(bytes, pattern(peer, all.rank, round, count: count), "what rank \(peer) lends")
      }
      let sent = all.counters.since(before)
      try expect(sent.withinNode[.dispatch]?.bytes ?? 0, count * near.count, "bytes within the node")
      try expect(sent.betweenNodes[.dispatch]?.bytes ?? 0, 0, "bytes between nodes")
    }
    let outside = Memory(count: 8)
    try expect(memory.offset(of: UnsafeRawPointer(outside.bytes.baseAddress!)), nil, "offset of other memory")
    try all.barrier()
  }

  private final class Owner {}

  private static func keep(_ all: Communicator) throws {
    let near = (0..<all.size).filter { all.sharesMemory(with: $0) }
    // Alone on its node: it is there for the barriers.
    guard all.nodeMemory != nil else {
      for _ in 1...4 { try all.barrier() }
      return
    }
    let notes = try near.map { try all.askForLoan(of: $0, numbers: 0, tag: 3, standingFor: 0, purpose) }
    var owner: Owner? = Owner()
    weak let kept = owner
    let loan = try all.lend([owner].compactMap { $0 }, to: near)
    owner = nil
    try waitAll(
      near.map { try all.offer(loan, [], to: $0, tag: 3, standingFor: 0, purpose) } + notes.map(\.request))
    do {
      let borrowed = notes.map { $0.open().memory }
      try withExtendedLifetime(borrowed) {
        try all.barrier()
        // A later loan ends those that are back: this one is not.
        _ = try all.lend([], to: [])
        try expect(kept == nil, false, "an owner is gone while others read")
        try all.barrier()
      }
    }
    try all.barrier()
    _ = try all.lend([], to: [])
    try expect(kept == nil, true, "an owner is gone when all have given back")
    try all.barrier()
  }

  private static func slab(of memory: NodeMemory, _ count: Int) throws -> UnsafeMutableRawPointer {
    guard let address = memory.slab(count) else { throw CheckFailure(description: "no memory to lend") }
    return address
  }

  private static func found<Value>(_ value: Value?, _ what: String) throws -> Value {
    guard let value else { throw CheckFailure(description: "\(what): none") }
    return value
  }
}
