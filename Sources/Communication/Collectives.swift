/// Collectives of bytes that return when this rank's part is over.
extension Communicator {
  /// Returns when every rank of the communicator has come here.
  package func barrier(_ purpose: Purpose = Purpose("barrier", .control)) throws(CommunicationError) {
    let tag = nextTag()
    let nothing = Buffer(count: 0)
    // Dissemination: after the round with distance d every rank knows of the 2d ranks before it.
    var distance = 1
    while distance < size {
      let source = (rank + size - distance) % size
      let target = (rank + distance) % size
      let messages = [
        try receiving(nothing.bytes, from: source, tag: tag, purpose),
        try sending(UnsafeRawBufferPointer(nothing.bytes), to: target, tag: tag, purpose),
      ]
      try finish(messages, owner: nothing)
      distance *= 2
    }
  }

  /// Copies the bytes of rank `root` to every rank; the same number on all.
  package func broadcast(
    _ bytes: UnsafeMutableRawBufferPointer, from root: Int, owner: AnyObject?, _ purpose: Purpose
  ) throws(CommunicationError) {
    let tag = nextTag()
    // A binomial tree: a rank has the bytes from the one without its highest bit, and passes them on with each
    // higher bit set.
    let place = (rank + size - root) % size
    var bit = 1
    while bit <= place { bit *= 2 }
    if place > 0 {
      let source = (place - bit / 2 + root) % size
      try finish([try receiving(bytes, from: source, tag: tag, purpose)], owner: owner)
    }
    var messages: [Message] = []
    while place + bit < size {
      let target = (place + bit + root) % size
      messages.append(try sending(UnsafeRawBufferPointer(bytes), to: target, tag: tag, purpose))
      bit *= 2
    }
    try finish(messages, owner: owner)
  }

  /// Copies the numbers of rank `root` to every rank; the same count on all.
  package func broadcast<Element: BitwiseCopyable>(
    _ values: [Element], from root: Int, _ purpose: Purpose
  ) throws(CommunicationError) -> [Element] {
    let buffer = Buffer(values)
    try broadcast(buffer.bytes, from: root, owner: buffer, purpose)
    return buffer.elements()
  }

  /// Brings the bytes of every rank to rank `root`, one after the other by rank.
  ///
  /// - Parameters:
  ///   - bytes: this rank's, `lengths[rank]` of them.
  ///   - lengths: of every rank's bytes, the same on the root and on the sender.
  ///   - target: where the root keeps them, the sum of `lengths` long; empty elsewhere.
  package func gather(
    _ bytes: UnsafeRawBufferPointer, lengths: [Int], to root: Int, into target: UnsafeMutableRawBufferPointer,
    owner: AnyObject?, _ purpose: Purpose
  ) throws(CommunicationError) {
    precondition(
      lengths.count == size && bytes.count == lengths[rank],
      "\(bytes.count) bytes of \(lengths), rank \(rank)")
    let tag = nextTag()
    guard rank == root else {
      return try finish([try sending(bytes, to: root, tag: tag, purpose)], owner: owner)
    }
    let offsets = Self.offsets(lengths)
    precondition(target.count == offsets[size], "\(offsets[size]) bytes do not fit \(target.count)")
    target[offsets[root]..<offsets[root + 1]].copyBytes(from: bytes)
    var messages: [Message] = []
    for source in sources {
      let piece = UnsafeMutableRawBufferPointer(rebasing: target[offsets[source]..<offsets[source + 1]])
      messages.append(try receiving(piece, from: source, tag: tag, purpose))
    }
    try finish(messages, owner: owner)
  }

  /// Brings what every rank has, of any length each, to rank `root`; empty elsewhere.
  package func gather(
    _ bytes: [UInt8], to root: Int, _ purpose: Purpose = Purpose("gather", .control)
  ) throws(CommunicationError) -> [[UInt8]] {
    let own = Buffer([bytes.count])
    let all = Buffer(count: rank == root ? 8 * size : 0)
    try gather(
      UnsafeRawBufferPointer(own.bytes), lengths: Array(repeating: 8, count: size), to: root, into: all.bytes,
      owner: all, purpose)
    // Only the root knows the others' lengths, and only it needs them.
    var lengths: [Int] = all.elements()
    if rank != root {
      lengths = Array(repeating: 0, count: size)
      lengths[rank] = bytes.count
    }
    let (piece, pieces) = (Buffer(bytes), Buffer(count: rank == root ? lengths.reduce(0, +) : 0))
    try gather(
      UnsafeRawBufferPointer(piece.bytes), lengths: lengths, to: root, into: pieces.bytes, owner: pieces,
      purpose)
    return rank == root ? Self.split(pieces.elements(), lengths) : []
  }

  /// Brings what every rank has, of any length each, to every rank.
  package func allGather(
    _ bytes: [UInt8], _ purpose: Purpose = Purpose("gather", .control)
  ) throws(CommunicationError) -> [[UInt8]] {
    let pieces = try gather(bytes, to: 0, purpose)
    let nothing = Array(repeating: 0, count: size)
    let lengths = try broadcast(rank == 0 ? pieces.map(\.count) : nothing, from: 0, purpose)
    let room = rank == 0 ? pieces.flatMap { $0 } : [UInt8](repeating: 0, count: lengths.reduce(0, +))
    return Self.split(try broadcast(room, from: 0, purpose), lengths)
  }

  /// Waits for messages; `owner` has their memory.
  func finish(_ messages: [Message], owner: AnyObject?) throws(CommunicationError) {
    guard !messages.isEmpty else { return }
    try Request(Messages(messages), owner: owner, of: endpoint).wait()
  }

  /// Where each of pieces that lie one after the other begins, and the end of the last.
  static func offsets(_ lengths: [Int]) -> [Int] {
    lengths.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
  }

  private static func split(_ bytes: [UInt8], _ lengths: [Int]) -> [[UInt8]] {
    let offsets = offsets(lengths)
    return lengths.indices.map { Array(bytes[offsets[$0]..<offsets[$0 + 1]]) }
  }
}

/// Memory of a collective, which outlives its messages.
final class Buffer {
  let bytes: UnsafeMutableRawBufferPointer

  init(count: Int) { bytes = .allocate(byteCount: count, alignment: 64) }

  /// The values as they lie in memory: all ranks have the same byte order.
  convenience init<Element: BitwiseCopyable>(_ values: [Element]) {
    self.init(count: values.count * MemoryLayout<Element>.stride)
    values.withUnsafeBytes { bytes.copyMemory(from: $0) }
  }

  func elements<Element: BitwiseCopyable>() -> [Element] { Array(bytes.bindMemory(to: Element.self)) }

  deinit { bytes.deallocate() }
}
