import Communication

enum GroupChecks {
  static let all = [
    Check(name: "groups by color and key, and groups of groups") { try split($0) },
    Check(name: "messages of two groups do not meet") { try contexts($0) },
    Check(name: "the process grid of every layout that fits") { try grid($0) },
    Check(name: "bytes and messages are counted by kind") { try counters($0) },
  ]

  private static func split(_ all: Communicator) throws {
    let half = try all.split(color: all.rank % 2, key: -all.rank, name: "half \(all.rank % 2)")
    let expected = (0..<all.size).filter { $0 % 2 == all.rank % 2 }.reversed()
    try expect(half.worldRanks, Array(expected), "members of \(half.name)")
    try expect(half.worldRanks[half.rank], all.rank, "place in \(half.name)")
    let sums = try half.allReduce([all.rank], .sum)
    try expect(sums, [expected.reduce(0, +)], "sum of \(half.name)")
    let alone = try half.split(color: half.rank, key: 0, name: "alone")
    try expect(alone.worldRanks, [all.rank], "a group of one")
    try alone.barrier()
  }

  private static func contexts(_ all: Communicator) throws {
    let other = try all.split(color: 0, key: all.rank, name: "the same ranks")
    let purpose = Purpose("test", .combine)
    let peer = all.size - 1 - all.rank
    let (first, second) = (Memory(count: 10), Memory(count: 10))
    let (sentFirst, sentSecond) = (Memory(pattern(1, count: 10)), Memory(pattern(2, count: 10)))
    try waitAll([
      try all.send(sentFirst.readable, to: peer, tag: 3, owner: sentFirst, purpose),
      try other.send(sentSecond.readable, to: peer, tag: 3, owner: sentSecond, purpose),
      try other.receive(second.bytes, from: peer, tag: 3, owner: second, purpose),
      try all.receive(first.bytes, from: peer, tag: 3, owner: first, purpose),
    ])
    try expect(first.contents, pattern(1, count: 10), "the first group")
    try expect(second.contents, pattern(2, count: 10), "the second group")
  }

  private static func grid(_ all: Communicator) throws {
    for pipeline in 1...all.size where all.size.isMultiple(of: pipeline) {
      let data = all.size / pipeline
      for expert in 1...data where data.isMultiple(of: expert) {
        let grid = try ProcessGrid(world: all, pipeline: pipeline, data: data, expert: expert)
        let layout = "pipeline \(pipeline), data \(data), expert \(expert)"
        let first = grid.stage * data
        try expect(grid.stage * data + grid.expertGroup * expert + grid.expertRank, all.rank, layout)
        try expect(grid.dataRanks.worldRanks, Array(first..<first + data), "data, \(layout)")
        let group = first + grid.expertGroup * expert
        try expect(grid.expertRanks.worldRanks, Array(group..<group + expert), "expert, \(layout)")
        let replicas = stride(from: first + grid.expertRank, to: first + data, by: expert)
        try expect(grid.expertDataRanks.worldRanks, Array(replicas), "replicas, \(layout)")
        let stages = stride(from: grid.dataRank, to: all.size, by: data)
        try expect(grid.pipelineRanks.worldRanks, Array(stages), "stages, \(layout)")
        try expect(Set(grid.node.nodes).count, 1, "nodes, \(layout)")
        try expect(try grid.expertRanks.allReduce([1], .sum), [expert], "expert sum, \(layout)")
      }
    }
  }

  private static func counters(_ all: Communicator) throws {
    let before = all.counters
    let purpose = Purpose("test", .combine)
    var requests: [Request] = []
    for peer in 0..<all.size {
      let (sent, room) = (Memory(count: 150), Memory(count: 150))
      requests.append(try all.send(sent.readable, to: peer, tag: 0, owner: sent, purpose))
      requests.append(try all.receive(room.bytes, from: peer, tag: 0, owner: room, purpose))
    }
    try waitAll(requests)
    let counted = all.counters.since(before)
    let near = all.nodes.filter { $0 == all.nodes[all.rank] }.count - 1
    let far = all.size - 1 - near
    try expect(counted.withinNode[.combine]?.messages ?? 0, near, "messages within the node")
    try expect(counted.betweenNodes[.combine]?.bytes ?? 0, far * 150, "bytes between nodes")
    try expect(counted.sent(.combine), .init(messages: all.size - 1, bytes: (all.size - 1) * 150), "all")
    try expect(counted.sent(.dispatch), .init(), "another kind")
  }
}
