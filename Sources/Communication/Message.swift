/// Something under way that is over at some time.
protocol Transfer {
  /// Goes on as far as possible without waiting; true when it is over.
  mutating func advance(_ transport: any Transport) throws(CommunicationError) -> Bool
  /// Asks for every message, not only for the next, so that `pending` is what is really missing.
  mutating func sift(_ transport: any Transport) throws(CommunicationError)
  /// The messages that it still waits for.
  var pending: [MessageDescription] { get }
  /// Gives it up; false where the transport can no longer be stopped.
  func cancel(_ transport: any Transport) -> Bool
}

/// A message of any length, cut into chunks. The last chunk is always smaller than the others, so that a sender and
/// a receiver that expect different lengths always meet in a chunk of different lengths.
struct Message: Transfer {
  private struct Chunk {
    var ticket: Ticket
    var bytes: Int
  }
  private let description: MessageDescription
  private var chunks: [Chunk]
  /// How many of them are done: they are asked for in order.
  private var done = 0

  static func send(
    _ bytes: UnsafeRawBufferPointer, to address: Address, _ description: MessageDescription,
    of endpoint: Endpoint
  ) throws(CommunicationError) -> Message {
    let chunks = try chunks(of: bytes.count, endpoint) { (range) throws(CommunicationError) in
      try endpoint.transport.send(UnsafeRawBufferPointer(rebasing: bytes[range]), to: address)
    }
    if address.peer != endpoint.transport.rank { endpoint.sent(description) }
    return Message(description: description, chunks: chunks)
  }

  static func receive(
    _ bytes: UnsafeMutableRawBufferPointer, from address: Address, _ description: MessageDescription,
    of endpoint: Endpoint
  ) throws(CommunicationError) -> Message {
    let chunks = try chunks(of: bytes.count, endpoint) { (range) throws(CommunicationError) in
      try endpoint.transport.receive(UnsafeMutableRawBufferPointer(rebasing: bytes[range]), from: address)
    }
    return Message(description: description, chunks: chunks)
  }

  /// Starts each chunk of a message.
  private static func chunks(
    of length: Int, _ endpoint: Endpoint, _ start: (Range<Int>) throws(CommunicationError) -> Ticket
  ) throws(CommunicationError) -> [Chunk] {
    var chunks: [Chunk] = []
    let largest = endpoint.largestChunk
    for number in 0...length / largest {
      let range = number * largest..<min(length, (number + 1) * largest)
      chunks.append(Chunk(ticket: try start(range), bytes: range.count))
    }
    return chunks
  }

  mutating func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
    while done < chunks.count {
      switch try transport.delivery(of: chunks[done].ticket) {
      case .underWay: return false
      case .done(let bytes):
        done += 1
        guard bytes == chunks[done - 1].bytes else { throw mismatch(arrived: bytes) }
      case .tooLong:
        done += 1
        throw mismatch(arrived: nil)
      }
    }
    return true
  }

  mutating func sift(_ transport: any Transport) throws(CommunicationError) {
    _ = try advance(transport)
  }

  private func mismatch(arrived: Int?) -> CommunicationError {
    let before = chunks.prefix(done - 1).reduce(0) { $0 + $1.bytes }
    // Of this message: the bytes that it is described with may be others that it stands for.
    let expected = chunks.reduce(0) { $0 + $1.bytes }
    return .lengthMismatch(description, expected: expected, arrived: arrived.map { before + $0 })
  }

  var pending: [MessageDescription] { done < chunks.count ? [description] : [] }

  func cancel(_ transport: any Transport) -> Bool {
    chunks[done...].reduce(true) { transport.cancel($1.ticket) && $0 }
  }
}

/// Several messages at once.
struct Messages: Transfer {
  private var messages: [Message]

  init(_ messages: [Message]) { self.messages = messages }

  /// One after the other: the transport moves all of them whichever is asked for.
  mutating func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
    while !messages.isEmpty {
      guard try messages[messages.count - 1].advance(transport) else { return false }
      messages.removeLast()
    }
    return true
  }

  mutating func sift(_ transport: any Transport) throws(CommunicationError) {
    for index in messages.indices.reversed() where try messages[index].advance(transport) {
      messages.remove(at: index)
    }
  }

  var pending: [MessageDescription] { messages.flatMap(\.pending) }

  func cancel(_ transport: any Transport) -> Bool {
    messages.reduce(true) { $1.cancel(transport) && $0 }
  }
}
