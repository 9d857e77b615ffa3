/// How the numbers of all ranks become one.
package enum Reduction: Hashable, Sendable {
  case sum
  case maximum
  case minimum
  /// 1 where no rank has 0, else 0.
  case and

  fileprivate func combine<Number: Comparable & Numeric>(_ a: Number, _ b: Number) -> Number {
    switch self {
    case .sum: a + b
    case .maximum: Self.notANumber(a, b) ?? max(a, b)
    case .minimum: Self.notANumber(a, b) ?? min(a, b)
    case .and: a != 0 && b != 0 ? 1 : 0
    }
  }

  /// A NaN is the news that matters: it must not lose against a number.
  private static func notANumber<Number: Equatable>(_ a: Number, _ b: Number) -> Number? {
    a != a ? a : b != b ? b : nil
  }
}

/// Collectives of few numbers.
extension Communicator {
  /// Combines the numbers of all ranks, place by place. Every rank has the same bits: the sum is formed on one rank,
  /// in the order of ranks.
  package func allReduce<Number: BitwiseCopyable & Comparable & Numeric>(
    _ values: [Number], _ reduction: Reduction, _ purpose: Purpose = Purpose("reduction", .control)
  ) throws(CommunicationError) -> [Number] {
    let bytes = values.count * MemoryLayout<Number>.stride
    let own = Buffer(values)
    let all = Buffer(count: rank == 0 ? bytes * size : 0)
    try gather(
      UnsafeRawBufferPointer(own.bytes), lengths: Array(repeating: bytes, count: size), to: 0,
      into: all.bytes,
      owner: all, purpose)
    let numbers: [Number] = all.elements()
    var result = values
    if rank == 0 {
      for place in values.indices {
        result[place] = (1..<size).reduce(numbers[place]) {
          reduction.combine($0, numbers[$1 * values.count + place])
        }
      }
    }
    return try broadcast(result, from: 0, purpose)
  }

  /// All-to-all of integers: sends the numbers for rank r to rank r, and returns what the ranks sent to this one, by
  /// rank. As many for each rank: `counts.count / size`.
  package func exchange(
    counts: [Int], _ purpose: Purpose = Purpose("counts", .control)
  ) throws(CommunicationError) -> [Int] {
    let exchange = try startExchange(counts: counts, purpose)
    try exchange.request.wait()
    return exchange.arrived
  }

  /// The same, under way.
  package func startExchange(
    counts: [Int], _ purpose: Purpose
  ) throws(CommunicationError) -> CountsExchange {
    precondition(counts.count.isMultiple(of: size), "\(counts.count) counts for \(size) ranks")
    let tag = nextTag()
    let bytes = counts.count / size * MemoryLayout<Int>.stride
    let exchanged = CountsExchange.Memory(counts)
    func piece(_ buffer: Buffer, _ peer: Int) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[bytes * peer..<bytes * (peer + 1)])
    }
    piece(exchanged.received, rank).copyMemory(from: UnsafeRawBufferPointer(piece(exchanged.sent, rank)))
    var messages: [Message] = []
    for source in sources {
      messages.append(try receiving(piece(exchanged.received, source), from: source, tag: tag, purpose))
    }
    for target in targets {
      let chunk = UnsafeRawBufferPointer(piece(exchanged.sent, target))
      messages.append(try sending(chunk, to: target, tag: tag, purpose))
    }
    let request = Request(Messages(messages), owner: exchanged, of: endpoint)
    return CountsExchange(request: request, memory: exchanged)
  }
}

/// An all-to-all of integers.
package struct CountsExchange {
  final class Memory {
    let sent: Buffer
    let received: Buffer

    init(_ counts: [Int]) {
      sent = Buffer(counts)
      received = Buffer(count: sent.bytes.count)
    }
  }

  package let request: Request
  fileprivate let memory: Memory

  /// What the ranks have sent, by rank; once the request is complete.
  package var arrived: [Int] { memory.received.elements() }
}
