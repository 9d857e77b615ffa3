import Numerics
import Testing

/// bfloat16 has 256 values a binade and float32's exponents: every rule can be tried on all 65,536 codes.
struct BFloat16Tests {
  @Test func everyCodeSurvivesFloat() {
    for code in UInt16.min...UInt16.max {
      let value = Float(BFloat16(bits: code))
      let back = BFloat16(value).bits
      // A signaling NaN comes back quiet.
      let expected = value.isNaN ? code | 0x40 : code
      guard back == expected else { return #expect(back == expected, "code \(code), value \(value)") }
    }
  }

  /// Halfway between two codes lies one float32; beside it the two neighbors decide.
  @Test func halfwayGoesToTheEvenCode() {
    for code in UInt16(0)..<0x7f80 {
      let halfway = UInt32(code) << 16 | 0x8000
      let rounded = [halfway - 1, halfway, halfway + 1].map { BFloat16(Float(bitPattern: $0)).bits }
      let negative = [halfway - 1, halfway, halfway + 1].map {
        BFloat16(-Float(bitPattern: $0)).bits & 0x7fff
      }
      let expected = [code, code + (code & 1), code + 1]
      guard rounded == expected, negative == expected else {
        return #expect(
          rounded == expected && negative == expected, "above code \(code): \(rounded) \(negative)")
      }
    }
  }

  @Test func overflowBecomesInfinity() {
    #expect(Float(BFloat16(Float.greatestFiniteMagnitude)) == .infinity)
    #expect(Float(BFloat16(-Float.greatestFiniteMagnitude)) == -.infinity)
    // The largest code, and the largest float32 that still rounds to it.
    #expect(BFloat16(Float(bitPattern: 0x7f7f_0000)).bits == 0x7f7f)
    #expect(BFloat16(Float(bitPattern: 0x7f7f_7fff)).bits == 0x7f7f)
    #expect(BFloat16(Float.infinity).bits == 0x7f80)
    #expect(BFloat16(-Float.infinity).bits == 0xff80)
  }

  /// A NaN whose payload stands in the lower half alone must not become infinity.
  @Test(arguments: [0x7f80_0001, 0x7fff_ffff, 0xff80_0001, 0xffc0_0000, 0x7fa5_5555] as [UInt32])
  func notANumberStaysOne(pattern: UInt32) {
    let rounded = BFloat16(Float(bitPattern: pattern))
    #expect(Float(rounded).isNaN, "\(rounded.bits)")
    #expect(rounded.bits >> 15 == UInt16(pattern >> 31), "the sign is kept")
  }

  @Test func signsOfZeroAreKept() {
    #expect(BFloat16(Float(0)).bits == 0)
    #expect(BFloat16(-Float(0)).bits == 0x8000)
    #expect(BFloat16(-Float.leastNonzeroMagnitude).bits == 0x8000)
  }
}
