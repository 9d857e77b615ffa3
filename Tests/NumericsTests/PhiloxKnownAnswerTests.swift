import Numerics
import Testing

/// The vectors of `philox4x32-10` in the Random123 distribution (`kat_vectors`).
///
/// Our counter is (index, stream), our key the seed; each is two words, the lower one first.
struct PhiloxKnownAnswerTests {
  private static func block(counter: [UInt32], key: [UInt32]) -> [UInt32] {
    func pair(_ low: UInt32, _ high: UInt32) -> UInt64 { UInt64(high) << 32 | UInt64(low) }
    let philox = Philox(seed: pair(key[0], key[1]), stream: pair(counter[2], counter[3]))
    let b = philox.block(pair(counter[0], counter[1]))
    return [b.0, b.1, b.2, b.3]
  }

  @Test func zeros() {
    let block = Self.block(counter: [0, 0, 0, 0], key: [0, 0])
    #expect(block == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
  }

  @Test func ones() {
    let ones = UInt32.max
    let block = Self.block(counter: [ones, ones, ones, ones], key: [ones, ones])
    #expect(block == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
  }

  @Test func digitsOfPi() {
    let block = Self.block(
      counter: [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], key: [0xa409_3822, 0x299f_31d0])
    #expect(block == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
  }

  /// FNV-1a of a name is its stream; the hashes of "a" and "foobar" are in its authors' test suite.
  @Test func namesAreHashed() {
    for (name, hash): (String, UInt64) in [("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)] {
      #expect(Philox(seed: 7, name: name).block(3) == Philox(seed: 7, stream: hash).block(3), "\(name)")
    }
  }
}
