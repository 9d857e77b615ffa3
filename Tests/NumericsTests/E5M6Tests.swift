import Numerics
import Testing

/// E5M6 is the upper 12 bits of a binary16, of which the processor knows all values.
struct E5M6Tests {
  private let codes = (UInt16(0)..<0x1000).map { E5M6(bits: $0) }

  @Test func valuesAreThoseOfBinary16() {
    for code in codes {
      let (found, expected) = (Float(code), Float(Float16(bitPattern: code.bits << 4)))
      #expect(
        found.bitPattern == expected.bitPattern || (found.isNaN && expected.isNaN),
        "\(code.bits): \(found), not \(expected)")
      if expected.isFinite { #expect(E5M6(found) == code, "\(found) is not \(code.bits) again") }
    }
  }

  @Test func halfwayGoesToTheEvenCode() {
    for code in UInt16(0)..<0x7bf {
      let middle = (Float(E5M6(bits: code)) + Float(E5M6(bits: code + 1))) / 2
      let found = [middle.nextDown, middle, middle.nextUp, -middle].map { E5M6($0).bits }
      #expect(found == [code, code + (code & 1), code + 1, (code + (code & 1)) | 0x800], "above \(code)")
    }
  }

  @Test func saturatesAndKeepsSigns() {
    #expect(E5M6(65279).bits == 0x7bf && E5M6(65280).bits == 0x7bf && E5M6(-.infinity).bits == 0xfbf)
    #expect(E5M6(.infinity).bits == 0x7bf && E5M6(.greatestFiniteMagnitude).bits == 0x7bf)
    #expect(Float(E5M6(bits: 0x7bf)) == E5M6.greatestFinite)
    #expect(E5M6(.nan).bits == 0x7ff && E5M6(-Float.nan).bits == 0xfff)
    #expect(E5M6(0x1p-21).bits == 0 && E5M6((0x1p-21 as Float).nextUp).bits == 1 && E5M6(-0.0).bits == 0x800)
  }

  @Test func twoCodesTakeThreeBytes() {
    let bytes = E5M6.packed(E5M6(bits: 0xabc), E5M6(bits: 0x123))
    #expect(bytes.0 == 0xbc && bytes.1 == 0x3a && bytes.2 == 0x12)
    for (first, second) in zip(codes, codes.reversed()) {
      let found = E5M6.unpacked(E5M6.packed(first, second))
      #expect(found.first == first && found.second == second)
    }
  }
}
