/// The upper half of a float32: 8 exponent bits, 7 mantissa bits.
package struct BFloat16: Equatable, Sendable {
  package var bits: UInt16

  package init(bits: UInt16) { self.bits = bits }

  /// Rounds to the nearest value, ties to even; NaN stays NaN, overflow becomes infinity.
  package init(_ value: Float) {
    let pattern = value.bitPattern
    if value.isNaN {
      bits = UInt16(truncatingIfNeeded: pattern >> 16) | 0x40
    } else {
      bits = UInt16(truncatingIfNeeded: (pattern + 0x7fff + ((pattern >> 16) & 1)) >> 16)
    }
  }
}

extension Float {
  package init(_ value: BFloat16) { self.init(bitPattern: UInt32(value.bits) << 16) }
}
