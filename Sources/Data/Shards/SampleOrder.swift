/// The order in which rows are visited: in each epoch every row once, differently shuffled.
///
/// A pure function of (seed, sample index), so a run resumes anywhere without any state. A Feistel network
/// permutes the smallest numbers of 2k bits that cover the rows, and is applied again to what falls outside them
/// (cycle walking; on average less than four times). Source: Black and Rogaway, "Ciphers with Arbitrary Finite
/// Domains", CT-RSA 2002, methods 2 and 3.
package struct SampleOrder: Hashable, Sendable {
  package let seed: UInt64
  package let rows: Int

  private let halfBits: UInt64
  private static let rounds: UInt64 = 8
  /// 2⁶⁴ divided by the golden ratio: spreads consecutive numbers before they are mixed.
  private static let stride: UInt64 = 0x9e37_79b9_7f4a_7c15

  package init(seed: UInt64, rows: Int) {
    precondition(rows > 0, "\(rows) rows have no order")
    self.seed = seed
    self.rows = rows
    let bits = UInt64.bitWidth - UInt64(rows - 1).leadingZeroBitCount
    halfBits = UInt64(max(1, (bits + 1) / 2))
  }

  /// The row of the sample with this index, counted from 0 over all epochs.
  package func row(at sampleIndex: Int) -> Int {
    precondition(sampleIndex >= 0, "sample \(sampleIndex) does not exist")
    let (epoch, place) = sampleIndex.quotientAndRemainder(dividingBy: rows)
    let key = (seed.mixed &+ (UInt64(epoch) &+ 1) &* SampleOrder.stride).mixed
    var value = UInt64(place)
    repeat { value = permuted(value, key: key) } while value >= UInt64(rows)
    return Int(value)
  }

  private func permuted(_ value: UInt64, key: UInt64) -> UInt64 {
    let mask = (1 << halfBits) &- 1 as UInt64
    var left = value >> halfBits
    var right = value & mask
    for round in 1...SampleOrder.rounds {
      let roundKey = key &+ round &* SampleOrder.stride
      (left, right) = (right, left ^ ((right ^ roundKey).mixed & mask))
    }
    return left << halfBits | right
  }
}
