/// Which pairs of tokens merge, how early, and into what.
struct MergeTable: Sendable {
  struct Merge: Sendable {
    /// Smaller is earlier; the place in the file.
    let rank: Int32
    let token: Int32
  }

  private var merges: [TokenPair: Merge] = [:]

  init(minimumCapacity: Int) { merges.reserveCapacity(minimumCapacity) }

  /// Appends the next merge; false when the pair has one already.
  mutating func append(_ pair: TokenPair, token: Int32) -> Bool {
    let merge = Merge(rank: Int32(merges.count), token: token)
    return merges.updateValue(merge, forKey: pair) == nil
  }

  subscript(left: Int32, right: Int32) -> Merge? { merges[TokenPair(left, right)] }
}

/// Two neighboring tokens; ordered by the left one, then by the right one.
struct TokenPair: Hashable, Comparable, Sendable {
  private let bits: UInt64

  /// Ids are not negative, so the order of the bits is the order of the pairs.
  init(_ left: Int32, _ right: Int32) {
    bits = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  var left: Int32 { Int32(truncatingIfNeeded: bits >> 32) }
  var right: Int32 { Int32(truncatingIfNeeded: bits) }

  static func < (first: TokenPair, second: TokenPair) -> Bool { first.bits < second.bits }
}
