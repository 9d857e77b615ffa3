/// How far a tensor of one checkpoint is off from that of another.
package struct TensorDifference: Sendable, Equatable {
  package let name: String
  /// Elements with other bits.
  package let elements: Int
  /// The largest |a − b|; nil where the elements are no numbers that can be compared here.
  package let largest: Double?
  /// ‖a − b‖ / ‖b‖; infinite where b is zero and a is not.
  package let relative: Double?
}

extension StoredCheckpoint {
  /// Compares a tensor that both checkpoints hold in the same type and shape, a few megabytes at a time.
  ///
  /// - Returns: nil where all bits are equal.
  /// - Throws: `CheckpointError` of kind `.missing` if one does not hold it.
  package func difference(
    from other: StoredCheckpoint, _ name: String
  ) throws(CheckpointError) -> TensorDifference? {
    let (record, theirs) = (try entry(name), try other.entry(name))
    precondition(record == theirs, "\(name): \(record) and \(theirs)")
    var sums = DifferenceSums(record.type)
    try forEachBlock(name, 0..<record.elementCount) { (first, block) throws(CheckpointError) in
      let count = block.count / record.type.width
      try other.forEachBlock(name, first..<first + count) { (_, theirs) throws(CheckpointError) in
        sums.add(block, theirs)
      }
    }
    guard sums.elements > 0 else { return nil }
    let relative = sums.difference == 0 ? 0 : (sums.difference / sums.size).squareRoot()
    return TensorDifference(
      name: name, elements: sums.elements, largest: sums.isNumber ? sums.largest : nil,
      relative: sums.isNumber ? relative : nil)
  }
}

/// What two arrays come to, block by block.
private struct DifferenceSums {
  private let type: ScalarType
  var elements = 0
  var largest = 0.0
  /// ‖a − b‖² and ‖b‖².
  var difference = 0.0
  var size = 0.0

  init(_ type: ScalarType) { self.type = type }

  var isNumber: Bool { type == .float32 || type == .bfloat16 || type == .float64 }

  mutating func add(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) {
    let width = type.width
    for place in stride(from: 0, to: a.count, by: width) {
      if !a[place..<place + width].elementsEqual(b[place..<place + width]) { elements += 1 }
      guard let x = value(a, place), let y = value(b, place) else { continue }
      let off = abs(x - y)
      // Written so that a NaN is worse than any number, and stays.
      if !(off <= largest), !largest.isNaN { largest = off }
      difference += off * off
      size += y * y
    }
  }

  private func value(_ bytes: UnsafeRawBufferPointer, _ place: Int) -> Double? {
    switch type {
    case .float32:
      Double(
        Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self))))
    case .bfloat16:
      Double(
        Float(
          bitPattern: UInt32(
            UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt16.self)))
            << 16))
    case .float64:
      Double(bitPattern: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)))
    default: nil
    }
  }
}
