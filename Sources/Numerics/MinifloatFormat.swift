/// A floating-point format of a few bits, `sign | exponent | mantissa` with subnormals, as a rule from numbers to
/// codes and back.
///
/// Written for clarity: kernels convert arrays with bit operations and are tested against this.
struct MinifloatFormat {
  let mantissaBits: Int
  let bias: Int
  /// The code of the largest finite value, without its sign.
  let greatestCode: UInt16
  /// The code that NaN becomes, without its sign: all ones.
  let nanCode: UInt16

  private var leastExponent: Int { 1 - bias }

  /// The magnitude's code: to nearest, ties to even; what lies beyond the largest finite value, infinity too, becomes
  /// that value.
  func magnitudeCode(_ value: Float) -> UInt16 {
    guard !value.isNaN else { return nanCode }
    guard value.isFinite else { return greatestCode }
    guard value != 0 else { return 0 }
    // Below the least exponent the step stays what it is there: that is what subnormals are.
    let exponent = max(Int(value.exponent), leastExponent)
    guard exponent <= bias + 1 else { return greatestCode }
    let steps = Int((Double(value.magnitude) * power(mantissaBits - exponent)).rounded(.toNearestOrEven))
    // The leading one of a normal number counts as one more exponent; a carry out of the mantissa likewise.
    let code = (exponent - leastExponent) << mantissaBits + steps
    return UInt16(min(code, Int(greatestCode)))
  }

  /// The value of a magnitude's code that is finite.
  func magnitude(_ code: UInt16) -> Float {
    let field = Int(code) >> mantissaBits
    let fraction = Int(code) & (1 << mantissaBits - 1)
    let steps = field == 0 ? fraction : fraction + 1 << mantissaBits
    return Float(Double(steps) * power(max(field, 1) - bias - mantissaBits))
  }

  private func power(_ exponent: Int) -> Double { Double(sign: .plus, exponent: exponent, significand: 1) }
}
