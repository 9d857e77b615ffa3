/// 12 bits, `sign | 5 exponent | 6 mantissa`, bias 15: the upper 12 bits of an IEEE 754 binary16. ±65024 at most, steps
/// of 2⁻²⁰ below 2⁻¹⁴; the largest exponent is infinity and NaN.
///
/// DeepSeek-V3 names the format and its widths (arXiv:2412.19437, §3.3.3); bias, special values and packing are ours.
package struct E5M6: Equatable, Sendable {
  /// The lower 12 bits; the upper 4 are 0.
  package var bits: UInt16

  package static let greatestFinite: Float = 65024
  static let format = MinifloatFormat(mantissaBits: 6, bias: 15, greatestCode: 0x7bf, nanCode: 0x7ff)

  package init(bits: UInt16) {
    precondition(bits < 0x1000, "E5M6 has 12 bits: \(bits)")
    self.bits = bits
  }

  /// Rounds to the nearest value, ties to even; what is larger than ±65024, infinity too, becomes ±65024; NaN stays
  /// NaN and keeps its sign.
  package init(_ value: Float) {
    bits = Self.format.magnitudeCode(value) | (value.sign == .minus ? 0x800 : 0)
  }

  /// Two values in three bytes: the first takes byte 0 and the lower half of byte 1, the second the rest, little end
  /// first.
  package static func packed(_ first: E5M6, _ second: E5M6) -> (UInt8, UInt8, UInt8) {
    let word = UInt32(first.bits) | UInt32(second.bits) << 12
    return (
      UInt8(truncatingIfNeeded: word), UInt8(truncatingIfNeeded: word >> 8),
      UInt8(truncatingIfNeeded: word >> 16)
    )
  }

  /// The inverse of ``packed(_:_:)``.
  package static func unpacked(_ bytes: (UInt8, UInt8, UInt8)) -> (first: E5M6, second: E5M6) {
    let word = UInt32(bytes.0) | UInt32(bytes.1) << 8 | UInt32(bytes.2) << 16
    return (E5M6(bits: UInt16(word & 0xfff)), E5M6(bits: UInt16(word >> 12)))
  }
}

extension Float {
  package init(_ value: E5M6) {
    let code = value.bits & 0x7ff
    let magnitude: Float =
      switch code {
      case 0x7c0: .infinity
      case 0x7c1...: .nan
      default: E5M6.format.magnitude(code)
      }
    self = value.bits >> 11 == 0 ? magnitude : -magnitude
  }
}
