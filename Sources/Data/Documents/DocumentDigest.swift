/// What is remembered of a document: enough to know it again, and to say which split it belongs to.
package struct DocumentDigest: Hashable, Sendable {
  /// FNV-1a of the bytes, finalized.
  let hash: UInt64
  /// A polynomial in the bytes modulo 2⁶¹ − 1, independent of the hash: together they make an accidental match of
  /// two documents out of a thousand million less likely than 2⁻⁶⁰.
  let polynomial: UInt64

  private static let modulus: UInt64 = (1 << 61) - 1
  /// Any large residue does.
  private static let base: UInt64 = 0x0f3c_6a1d_95b2_784e

  package init(_ document: String) {
    var fnv = FNV1a()
    var polynomial: UInt64 = 1
    var document = document
    document.withUTF8 { bytes in
      fnv.combine(bytes)
      for byte in bytes {
        let product = polynomial.multipliedFullWidth(by: DocumentDigest.base)
        // 2⁶¹ ≡ 1, so the bits from the 61st on are added to those below.
        let folded = (product.high << 3 | product.low >> 61) + (product.low & DocumentDigest.modulus)
        polynomial = (folded + UInt64(byte) + 1) % DocumentDigest.modulus
      }
    }
    hash = fnv.value.mixed
    self.polynomial = polynomial
  }

  /// Whether the document is held out when `fraction` of all documents are: a function of its bytes alone, and
  /// what is held out at a small fraction is also held out at a larger one.
  package func isHeldOut(fraction: Double) -> Bool { Double(hash >> 11) * 0x1p-53 < fraction }
}
