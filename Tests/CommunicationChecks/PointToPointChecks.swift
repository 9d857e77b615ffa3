import Communication

enum PointToPointChecks {
  static let all = [
    Check(name: "every length from everyone to everyone") { try everyLength($0) },
    Check(name: "receives in another order than sends") { try otherOrder($0) },
    Check(name: "messages with one tag keep their order") { try order($0) },
    Check(name: "lengths that do not agree are an error") { try mismatch($0) },
  ]

  private static let lengths = [0, 1, Check.chunk - 1, Check.chunk, Check.chunk + 1, 3 * Check.chunk, 1000]

  private static func purpose(_ layer: Int) -> Purpose { Purpose("test", .dispatch, layer: layer) }

  private static func everyLength(_ all: Communicator) throws {
    for (tag, length) in lengths.enumerated() {
      let rooms = (0..<all.size).map { _ in Memory(count: length) }
      var requests: [Request] = []
      for peer in 0..<all.size {
        let room = rooms[peer]
        requests.append(try all.receive(room.bytes, from: peer, tag: tag, owner: room, purpose(tag)))
        let sent = Memory(pattern(all.rank, peer, tag, count: length))
        requests.append(try all.send(sent.readable, to: peer, tag: tag, owner: sent, purpose(tag)))
      }
      try waitAll(requests)
      for peer in 0..<all.size {
        let expected = pattern(peer, all.rank, tag, count: length)
        try expect(rooms[peer].contents, expected, "\(length) bytes from \(peer)")
      }
    }
  }

  private static func otherOrder(_ all: Communicator) throws {
    let (next, previous) = ((all.rank + 1) % all.size, (all.rank + all.size - 1) % all.size)
    var sends: [Request] = []
    for tag in 0..<5 {
      let sent = Memory(pattern(all.rank, tag, count: 200 + tag))
      sends.append(try all.send(sent.readable, to: next, tag: tag, owner: sent, purpose(tag)))
    }
    for tag in [3, 0, 4, 2, 1] {
      let room = Memory(count: 200 + tag)
      let request = try all.receive(room.bytes, from: previous, tag: tag, owner: room, purpose(tag))
      while try !request.isComplete() {}
      try request.wait()
      try expect(room.contents, pattern(previous, tag, count: 200 + tag), "tag \(tag)")
    }
    try waitAll(sends)
  }

  private static func order(_ all: Communicator) throws {
    let (next, previous) = ((all.rank + 1) % all.size, (all.rank + all.size - 1) % all.size)
    let rooms = (0..<8).map { _ in Memory(count: 3 * Check.chunk + 5) }
    var requests: [Request] = []
    for (number, room) in rooms.enumerated() {
      let sent = Memory(pattern(all.rank, number, count: room.bytes.count))
      requests.append(try all.send(sent.readable, to: next, tag: 9, owner: sent, purpose(number)))
    }
    for room in rooms {
      requests.append(try all.receive(room.bytes, from: previous, tag: 9, owner: room, purpose(0)))
    }
    try waitAll(requests.reversed())
    for (number, room) in rooms.enumerated() {
      try expect(room.contents, pattern(previous, number, count: room.bytes.count), "message \(number)")
    }
  }

  private static func mismatch(_ all: Communicator) throws {
    // Of as many chunks each, so that nothing is left over; FailureTests has the others.
    let pairs = [(10, 11), (11, 10), (0, 1), (1, 0), (2 * Check.chunk + 5, 2 * Check.chunk)]
    for (tag, (sentBytes, room)) in pairs.enumerated() {
      let (sent, memory) = (Memory(count: sentBytes), Memory(count: room))
      let send = try all.send(sent.readable, to: all.rank, tag: tag, owner: sent, purpose(tag))
      let receive = try all.receive(memory.bytes, from: all.rank, tag: tag, owner: memory, purpose(tag))
      do throws(CommunicationError) {
        try receive.wait()
        throw .startup("\(sentBytes) bytes fit into a message of \(room)")
      } catch .lengthMismatch(let message, let expected, let arrived) {
        try expect(expected, room, "the length that was expected")
        try expect(arrived, sentBytes > room ? nil : sentBytes, "the length that arrived")
        try expect(message.peer, all.worldRanks[all.rank], "the sender")
        try expect(message.purpose.layer, tag, "the purpose")
      }
      try send.wait()
    }
  }
}
