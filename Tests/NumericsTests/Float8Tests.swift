import Checkpoint
import Numerics
import OracleSupport
import Testing

/// E4M3 and E5M2 against the tables of other software: all 256 codes, and 4,096 numbers to round, midpoints, NaN and
/// infinities among them.
struct Float8Tests {
  private struct Table {
    let decoded, input: [Float]
    /// Saturating, and as PyTorch rounds, which is the same for E4M3.
    let saturating, raw: [UInt8]

    init(_ format: String) throws {
      let file = try SafetensorsFile(oracleDirectory + "/fp8/\(format)_tables.safetensors")
      decoded = try file.floats("decode")
      input = try file.floats("encode.input")
      saturating = Array(try file.bytes("encode.saturating_rne"))
      raw = Array(try file.bytes("encode.torch_raw"))
    }
  }

  private func check(
    _ table: Table, encode: (Float) -> UInt8, decode: (UInt8) -> Float
  ) {
    for code in UInt8.min...UInt8.max {
      let (found, expected) = (decode(code), table.decoded[Int(code)])
      #expect(
        found.bitPattern == expected.bitPattern || (found.isNaN && expected.isNaN),
        "\(code): \(found), \(expected)")
      let back = encode(found)
      if found.isFinite { #expect(back == code, "\(code) is \(found), and that \(back)") }
    }
    for (i, value) in table.input.enumerated() {
      // The saturating table gives NaN no sign; PyTorch keeps it, and so do we.
      let expected = value.isNaN ? table.raw[i] : table.saturating[i]
      #expect(encode(value) == expected, "\(value): \(encode(value)), not \(expected)")
    }
    #expect(table.input.contains { $0.isNaN } && table.input.contains { $0.isInfinite })
  }

  @Test func e4m3HasTheOraclesTables() throws {
    let table = try Table("e4m3fn")
    check(table) {
      Float8E4M3($0).bits
    } decode: {
      Float(Float8E4M3(bits: $0))
    }
    for (i, value) in table.input.enumerated() { #expect(Float8E4M3(value).bits == table.raw[i], "\(value)") }
  }

  @Test func e5m2HasTheOraclesTables() throws {
    check(try Table("e5m2")) {
      Float8E5M2($0).bits
    } decode: {
      Float(Float8E5M2(bits: $0))
    }
  }

  /// Halfway between two codes lies one float32; beside it the two neighbors decide.
  @Test func halfwayGoesToTheEvenCode() {
    func check(_ greatest: UInt8, decode: (UInt8) -> Float, encode: (Float) -> UInt8) {
      for code in 0..<greatest {
        let middle = (decode(code) + decode(code + 1)) / 2
        let found = [middle.nextDown, middle, middle.nextUp, -middle].map(encode)
        #expect(found == [code, code + (code & 1), code + 1, (code + (code & 1)) | 0x80], "above \(code)")
      }
    }
    check(0x7e) {
      Float(Float8E4M3(bits: $0))
    } encode: {
      Float8E4M3($0).bits
    }
    check(0x7b) {
      Float(Float8E5M2(bits: $0))
    } encode: {
      Float8E5M2($0).bits
    }
  }

  @Test func saturatesAndKeepsSigns() {
    #expect(Float8E4M3(.infinity).bits == 0x7e && Float8E4M3(-.infinity).bits == 0xfe)
    #expect(Float8E4M3(480).bits == 0x7e && Float8E4M3(-Float.greatestFiniteMagnitude).bits == 0xfe)
    #expect(Float8E5M2(.infinity).bits == 0x7b && Float8E5M2(-65536).bits == 0xfb)
    #expect(Float8E4M3(.nan).bits == 0x7f && Float8E4M3(-Float.nan).bits == 0xff)
    #expect(Float8E5M2(.nan).bits == 0x7f && Float8E5M2(-Float.nan).bits == 0xff)
    #expect(Float8E4M3(-0.0).bits == 0x80 && Float8E5M2(-0.0).bits == 0x80)
    #expect(Float8E4M3(-.leastNonzeroMagnitude).bits == 0x80)
    #expect(Float(Float8E4M3(bits: 0x7e)) == Float8E4M3.greatestFinite)
    #expect(Float(Float8E5M2(bits: 0x7b)) == Float8E5M2.greatestFinite)
  }
}
