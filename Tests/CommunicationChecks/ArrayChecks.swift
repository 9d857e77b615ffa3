import Communication

enum ArrayChecks {
  static let all = [
    Check(name: "reduce-scatter in float32, in the order of ranks") { try sum($0, .float32) },
    Check(name: "reduce-scatter in bfloat16, summed in float32") { try sum($0, .bfloat16) },
    Check(name: "all-gather in place") { try gatherInPlace($0) },
    Check(name: "several buckets at once") { try buckets($0) },
    Check(name: "negative zero and NaN come through") { try specialNumbers($0) },
  ]

  /// Pieces of different lengths, one of them empty, not from the start of the array.
  private static func offsets(_ ranks: Int) -> [Int] {
    (0..<ranks).reduce(into: [5]) { $0.append($0[$0.count - 1] + ($1 == 1 ? 0 : 100 + 37 * $1)) }
  }

  private static func value(_ rank: Int, _ index: Int) -> Float {
    let bits = UInt32(truncatingIfNeeded: (rank * 7919 + index) &* 2_654_435_761)
    return (Float(bits >> 8) / Float(1 << 24) - 0.5) * Float(1 << (index % 12))
  }

  /// By way of Double, which holds a Float and half a unit of its bfloat16 exactly.
  private static func bfloat16(_ value: Float) -> Float {
    guard value != 0 else { return value }
    let unit = Double(sign: .plus, exponent: Int(value.exponent) - 7, significand: 1)
    return Float((Double(value) / unit).rounded(.toNearestOrEven) * unit)
  }

  private static func expected(_ ranks: Int, _ index: Int, _ payload: Payload) -> Float {
    let numbers = (0..<ranks).map { rank in
      payload == .float32 ? value(rank, index) : bfloat16(value(rank, index))
    }
    return numbers.dropFirst().reduce(numbers[0], +)
  }

  private static func sum(_ all: Communicator, _ payload: Payload) throws {
    let offsets = offsets(all.size)
    let memory = Memory(count: 4 * (offsets[all.size] + 3))
    let values = memory.bytes.bindMemory(to: Float.self)
    for index in values.indices { values[index] = value(all.rank, index) }
    try all.reduceScatter(
      values, offsets: offsets, payload: payload, owner: memory, Purpose("bucket 0", .gradients)
    ).wait()
    for index in values.indices {
      let isOwn = (offsets[all.rank]..<offsets[all.rank + 1]).contains(index)
      let number = isOwn ? expected(all.size, index, payload) : value(all.rank, index)
      try expect(values[index].bitPattern, number.bitPattern, "element \(index), own: \(isOwn)")
    }
  }

  private static func gatherInPlace(_ all: Communicator) throws {
    let offsets = offsets(all.size)
    let memory = Memory(count: offsets[all.size])
    let own = offsets[all.rank]..<offsets[all.rank + 1]
    memory.bytes[own].copyBytes(from: pattern(all.rank, count: own.count))
    try all.allGather(memory.bytes, offsets: offsets, owner: memory, Purpose("test", .parameters)).wait()
    for rank in 0..<all.size {
      let range = offsets[rank]..<offsets[rank + 1]
      try expect(Array(memory.bytes[range]), pattern(rank, count: range.count), "piece \(rank)")
    }
  }

  private static func buckets(_ all: Communicator) throws {
    let offsets = (0...all.size).map { $0 * 30 }
    var memories: [Memory] = []
    var requests: [Request] = []
    for bucket in 0..<4 {
      let memory = Memory(count: 4 * 30 * all.size)
      let values = memory.bytes.bindMemory(to: Float.self)
      for index in values.indices { values[index] = value(all.rank, index + bucket * 1000) }
      let purpose = Purpose("bucket \(bucket)", .gradients)
      requests.append(try all.reduceScatter(values, offsets: offsets, owner: memory, purpose))
      memories.append(memory)
    }
    for (bucket, request) in requests.enumerated().reversed() {
      try request.wait(hidden: true)
      let values = memories[bucket].bytes.bindMemory(to: Float.self)
      for index in offsets[all.rank]..<offsets[all.rank + 1] {
        try expect(values[index], expected(all.size, index + bucket * 1000, .float32), "bucket \(bucket)")
      }
    }
  }

  private static func specialNumbers(_ all: Communicator) throws {
    let memory = Memory(count: 4 * 2 * all.size)
    for payload in [Payload.float32, .bfloat16] {
      let values = memory.bytes.bindMemory(to: Float.self)
      for rank in 0..<all.size {
        values[2 * rank] = -0.0
        // All bits of the significand: rounded carelessly, it becomes an infinity or a zero.
        values[2 * rank + 1] = Float(bitPattern: 0x7FFF_FFFF)
      }
      let offsets = (0...all.size).map { $0 * 2 }
      let purpose = Purpose("test", .gradients)
      try all.reduceScatter(values, offsets: offsets, payload: payload, owner: memory, purpose).wait()
      try expect(values[2 * all.rank].bitPattern, (-0.0 as Float).bitPattern, "-0 in \(payload)")
      try expect(values[2 * all.rank + 1].isNaN, true, "NaN in \(payload)")
    }
  }
}
