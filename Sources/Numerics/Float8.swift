/// 8 bits, `sign | 4 exponent | 3 mantissa`, bias 7: ±448 at most, steps of 2⁻⁹ below 2⁻⁶. There is no infinity; only
/// the code with all ones is NaN.
///
/// Source: Micikevicius et al., arXiv:2209.05433, table 1; `float8_e4m3fn` of PyTorch and safetensors.
package struct Float8E4M3: Equatable, Sendable {
  package var bits: UInt8

  package static let greatestFinite: Float = 448
  static let format = MinifloatFormat(mantissaBits: 3, bias: 7, greatestCode: 0x7e, nanCode: 0x7f)

  package init(bits: UInt8) { self.bits = bits }

  /// Rounds to the nearest value, ties to even; what is larger than ±448, infinity too, becomes ±448; NaN stays NaN
  /// and keeps its sign.
  package init(_ value: Float) {
    bits = UInt8(Self.format.magnitudeCode(value)) | (value.sign == .minus ? 0x80 : 0)
  }
}

/// 8 bits, `sign | 5 exponent | 2 mantissa`, bias 15: ±57344 at most, steps of 2⁻¹⁶ below 2⁻¹⁴. The largest exponent
/// is infinity and NaN, as in IEEE 754.
///
/// Source: Micikevicius et al., arXiv:2209.05433, table 1; `float8_e5m2` of PyTorch and safetensors.
package struct Float8E5M2: Equatable, Sendable {
  package var bits: UInt8

  package static let greatestFinite: Float = 57344
  static let format = MinifloatFormat(mantissaBits: 2, bias: 15, greatestCode: 0x7b, nanCode: 0x7f)

  package init(bits: UInt8) { self.bits = bits }

  /// Rounds to the nearest value, ties to even; what is larger than ±57344, infinity too, becomes ±57344; NaN stays
  /// NaN and keeps its sign.
  package init(_ value: Float) {
    bits = UInt8(Self.format.magnitudeCode(value)) | (value.sign == .minus ? 0x80 : 0)
  }
}

extension Float {
  package init(_ value: Float8E4M3) {
    let code = value.bits & 0x7f
    let magnitude = code == 0x7f ? Float.nan : Float8E4M3.format.magnitude(UInt16(code))
    self = value.bits >> 7 == 0 ? magnitude : -magnitude
  }

  package init(_ value: Float8E5M2) {
    let code = value.bits & 0x7f
    let magnitude: Float =
      switch code {
      case 0x7c: .infinity
      case 0x7d...: .nan
      default: Float8E5M2.format.magnitude(UInt16(code))
      }
    self = value.bits >> 7 == 0 ? magnitude : -magnitude
  }
}
