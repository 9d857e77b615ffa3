/// What the elements of a sum are on the way.
package enum Payload: Hashable, Sendable {
  case float32
  /// Every rank's numbers, its own included, are rounded to nearest even before they are summed in float32.
  case bfloat16

  var bytes: Int { self == .float32 ? 4 : 2 }
}

/// Collectives of large arrays, which return at once.
extension Communicator {
  /// Starts to sum float32 arrays over the ranks; when the request is complete, this rank's piece of `values` holds
  /// the sum and the other pieces are as they were.
  ///
  /// Each piece goes straight to its owner, who adds the ranks' numbers in the order of ranks, in float32: the bits
  /// depend on nothing else. The sum is formed inside `wait` or `isComplete`, not by the motor.
  ///
  /// - Parameters:
  ///   - offsets: piece r is `values[offsets[r]..<offsets[r + 1]]`: one more than ranks, ascending, the same on all.
  ///   - owner: what `values` belongs to: kept until the request is over.
  package func reduceScatter(
    _ values: UnsafeMutableBufferPointer<Float>, offsets: [Int], payload: Payload = .float32,
    owner: AnyObject?,
    _ purpose: Purpose
  ) throws(CommunicationError) -> Request {
    check(offsets, count: values.count)
    let tag = nextTag()
    let sum = PieceSum(values, offsets: offsets, rank: rank, payload: payload, owner: owner)
    var messages: [Message] = []
    for source in sources {
      messages.append(try receiving(sum.room(from: source), from: source, tag: tag, purpose))
    }
    for target in targets {
      messages.append(try sending(sum.outgoing(to: target), to: target, tag: tag, purpose))
    }
    return Request(ReduceScatter(messages: Messages(messages), sum: sum), owner: sum, of: endpoint)
  }

  /// Starts to fill `bytes` with the pieces of all ranks; this rank's own piece must be in its place.
  ///
  /// - Parameters:
  ///   - offsets: piece r is `bytes[offsets[r]..<offsets[r + 1]]`: one more than ranks, ascending, the same on all.
  ///   - owner: what `bytes` belongs to: kept until the request is over.
  package func allGather(
    _ bytes: UnsafeMutableRawBufferPointer, offsets: [Int], owner: AnyObject?, _ purpose: Purpose
  ) throws(CommunicationError) -> Request {
    check(offsets, count: bytes.count)
    let tag = nextTag()
    var messages: [Message] = []
    for source in sources {
      let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[offsets[source]..<offsets[source + 1]])
      messages.append(try receiving(piece, from: source, tag: tag, purpose))
    }
    let own = UnsafeRawBufferPointer(rebasing: bytes[offsets[rank]..<offsets[rank + 1]])
    for target in targets { messages.append(try sending(own, to: target, tag: tag, purpose)) }
    return Request(Messages(messages), owner: owner, of: endpoint)
  }

  private func check(_ offsets: [Int], count: Int) {
    precondition(
      offsets.count == size + 1 && offsets[0] >= 0 && offsets[size] <= count
        && zip(offsets, offsets.dropFirst()).allSatisfy(<=),
      "offsets \(offsets) for \(size) ranks and \(count) elements")
  }
}

/// Messages, and the sum that follows them.
private struct ReduceScatter: Transfer {
  var messages: Messages
  let sum: PieceSum

  mutating func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
    guard try messages.advance(transport) else { return false }
    sum.form()
    return true
  }

  mutating func sift(_ transport: any Transport) throws(CommunicationError) {
    try messages.sift(transport)
  }

  var pending: [MessageDescription] { messages.pending }

  func cancel(_ transport: any Transport) -> Bool { messages.cancel(transport) }
}
