/// The 32-bit cyclic redundancy check with Castagnoli's polynomial, as record files use it.
///
/// Reflected, start and final exclusive-or all ones. Source: RFC 3720, appendix B.4.
struct CRC32C {
  /// `table[b]`: what the byte b does to a register that is otherwise zero.
  private let table: [UInt32]

  init() {
    let reflectedPolynomial: UInt32 = 0x82f6_3b78
    table = (0..<256).map { byte in
      (0..<8).reduce(UInt32(byte)) { register, _ in
        register & 1 == 0 ? register >> 1 : (register >> 1) ^ reflectedPolynomial
      }
    }
  }

  func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(UInt32.max) { register, byte in
      table[Int(UInt8(truncatingIfNeeded: register) ^ byte)] ^ (register >> 8)
    }
  }

  /// The check sum as a record stores it: rotated and shifted, because the check sum of data that contains
  /// its own check sum is of little use.
  ///
  /// Source: the comments in TensorFlow's `core/lib/hash/crc32c.h`.
  func masked(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let sum = checksum(bytes)
    return ((sum >> 15) | (sum << 17)) &+ 0xa282_ead8
  }
}
