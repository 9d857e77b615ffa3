/// FNV-1a with 64 bits: `h = (h ^ x) · prime` for each `x`.
///
/// Stable for ever: splits and checksums on disk depend on it. Its low bits are good, its high bits need `mixed`.
/// Source: Fowler, Noll, Vo; http://www.isthe.com/chongo/tech/comp/fnv.
struct FNV1a: Sendable {
  private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func combine(_ element: UInt64) { value = (value ^ element) &* 0x100_0000_01b3 }

  mutating func combine(_ bytes: UnsafeBufferPointer<UInt8>) {
    for byte in bytes { combine(UInt64(byte)) }
  }
}

extension UInt64 {
  /// A bijection after which every bit depends on every bit.
  /// Source: the finalizer of MurmurHash3 (Appleby), 64 bits.
  var mixed: UInt64 {
    var bits = self
    bits = (bits ^ (bits >> 33)) &* 0xff51_afd7_ed55_8ccd
    bits = (bits ^ (bits >> 33)) &* 0xc4ce_b9fe_1a85_ec53
    return bits ^ (bits >> 33)
  }
}
