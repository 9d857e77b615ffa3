/// The memory of a reduce-scatter on one rank, and its arithmetic.
final class PieceSum {
  private let values: UnsafeMutableBufferPointer<Float>
  private let offsets: [Int]
  private let rank: Int
  private let payload: Payload
  private let owner: AnyObject?
  /// What comes, by rank; and with `.bfloat16` what goes.
  private let incoming: Buffer
  private let outgoing: Buffer

  init(
    _ values: UnsafeMutableBufferPointer<Float>, offsets: [Int], rank: Int, payload: Payload,
    owner: AnyObject?
  ) {
    (self.values, self.offsets, self.rank) = (values, offsets, rank)
    (self.payload, self.owner) = (payload, owner)
    let ranks = offsets.count - 1
    incoming = Buffer(count: (ranks - 1) * (offsets[rank + 1] - offsets[rank]) * payload.bytes)
    outgoing = Buffer(count: payload == .bfloat16 ? (offsets[ranks] - offsets[0]) * payload.bytes : 0)
    if payload == .bfloat16 {
      let codes = outgoing.bytes.bindMemory(to: UInt16.self)
      for index in codes.indices { codes[index] = Self.rounded(values[offsets[0] + index]) }
    }
  }

  private var own: Range<Int> { offsets[rank]..<offsets[rank + 1] }

  /// Where the numbers of another rank come to. There is no room for this rank's own.
  func room(from source: Int) -> UnsafeMutableRawBufferPointer {
    let bytes = own.count * payload.bytes
    let place = source < rank ? source : source - 1
    return UnsafeMutableRawBufferPointer(rebasing: incoming.bytes[bytes * place..<bytes * (place + 1)])
  }

  func outgoing(to target: Int) -> UnsafeRawBufferPointer {
    let range = offsets[target]..<offsets[target + 1]
    guard payload == .bfloat16 else {
      return UnsafeRawBufferPointer(UnsafeMutableBufferPointer(rebasing: values[range]))
    }
    let (start, end) = ((range.lowerBound - offsets[0]) * 2, (range.upperBound - offsets[0]) * 2)
    return UnsafeRawBufferPointer(rebasing: outgoing.bytes[start..<end])
  }

  /// Adds in the order of ranks, a block that stays in the cache at a time.
  func form() {
    let ranks = offsets.count - 1
    let size = 4096
    let sums = UnsafeMutableBufferPointer<Float>.allocate(capacity: size)
    defer { sums.deallocate() }
    for start in stride(from: 0, to: own.count, by: size) {
      let block = start..<min(own.count, start + size)
      for source in 0..<ranks { add(source, block, to: sums) }
      for index in block { values[own.lowerBound + index] = sums[index - block.lowerBound] }
    }
  }

  /// The first rank's numbers are not added to zero: that would lose the sign of -0.
  private func add(_ source: Int, _ block: Range<Int>, to sums: UnsafeMutableBufferPointer<Float>) {
    func place(_ value: Float, _ index: Int) {
      let slot = index - block.lowerBound
      sums[slot] = source == 0 ? value : sums[slot] + value
    }
    switch payload {
    case .float32:
      let numbers =
        source == rank
        ? UnsafeMutableBufferPointer(rebasing: values[own])
        : room(from: source).assumingMemoryBound(to: Float.self)
      for index in block { place(numbers[index], index) }
    case .bfloat16:
      let codes =
        source == rank
        ? outgoing(to: rank).assumingMemoryBound(to: UInt16.self)
        : UnsafeRawBufferPointer(room(from: source)).assumingMemoryBound(to: UInt16.self)
      for index in block { place(Float(bitPattern: UInt32(codes[index]) << 16), index) }
    }
  }

  /// The code of the nearest bfloat16, ties to even; a NaN stays one.
  private static func rounded(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if value.isNaN { return UInt16(bits >> 16) | 0x40 }
    return UInt16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
  }
}
