import Foundation
import Testing

@testable import Data

/// Every field of a shard is checked before it is used.
@Suite struct ShardDamageTests {
  private func intact(_ vocabularySize: Int = 300) throws -> [UInt8] {
    let directory = try TemporaryDirectory()
    try writeShard(directory.path("a"), shardDocuments, vocabularySize: vocabularySize)
    return try Array(Data(contentsOf: URL(fileURLWithPath: directory.path("a"))))
  }

  private func error(_ bytes: [UInt8]) throws -> ShardError? {
    let directory = try TemporaryDirectory()
    let path = try directory.write("x", bytes)
    return #expect(throws: ShardError.self) { try TokenDataset([path]) }
  }

  /// The header with a little-endian value at an offset, and its checksum made right again.
  private func changed(_ offset: Int, _ value: UInt64, width: Int = 8) throws -> [UInt8] {
    var bytes = try intact()
    for index in 0..<width { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
    let sum = ShardHeader.checksum(of: Array(bytes[0..<64]))
    for index in 0..<8 { bytes[64 + index] = UInt8(truncatingIfNeeded: sum >> (8 * index)) }
    return bytes
  }

  @Test func everyFieldIsCheckedEvenWithARightChecksum() throws {
    // The intact header: vocabulary 300, 12 tokens, 3 documents, 16 bytes of text, end-of-text 1.
    let faults: [(offset: Int, values: [UInt64], field: String)] = [
      (16, [0, 1, UInt64.max, 1 << 25], "vocabulary size"), (16, [65_537], "token width"),
      (24, [0, UInt64.max, 1 << 62], "token count"), (32, [12, UInt64.max], "document count"),
      (40, [7, 0, UInt64.max], "text byte count"), (48, [300, 1 << 32, UInt64.max], "end-of-text id"),
    ]
    for fault in faults {
      for value in fault.values {
        let found = try error(changed(fault.offset, value))
        // A vocabulary of one token has no room for the end-of-text id 1.
        let field = fault.offset == 16 && value == 1 ? "end-of-text id" : fault.field
        guard case .badHeader(_, field, _) = found else {
          Issue.record("\(fault.field) \(value): \(String(describing: found))")
          continue
        }
      }
    }
    for width: UInt64 in [0, 1, 3, 4, 8] {
      guard case .badHeader(_, "token width", _) = try error(changed(12, width, width: 4)) else {
        Issue.record("a token width of \(width) was accepted")
        continue
      }
    }
    guard case .notAShard = try error(changed(0, 0)), case .notAShard = try error(changed(8, 2, width: 4))
    else {
      Issue.record("another magic or version was accepted")
      return
    }
  }

  @Test func countsThatFitButAreWrongAreFound() throws {
    guard case .wrongLength = try error(changed(24, 11)) else { throw Missed("a token count too small") }
    guard case .wrongLength = try error(changed(24, 13)) else { throw Missed("a token count too large") }
    guard case .damaged = try error(changed(32, 2)) else { throw Missed("a document count too small") }
    guard case .damaged = try error(changed(32, 4)) else { throw Missed("a document count too large") }
    guard case .damaged = try error(changed(48, 5)) else { throw Missed("another end-of-text id") }
    guard case .damaged = try error(changed(56, 5)) else { throw Missed("another checksum") }
  }

  private struct Missed: Error {
    let what: String
    init(_ what: String) { self.what = what }
  }

  @Test func everyChangedByteIsFound() throws {
    let bytes = try intact()
    for offset in bytes.indices {
      var damaged = bytes
      damaged[offset] ^= 0x10
      #expect(try error(damaged) != nil, "byte \(offset)")
    }
  }

  @Test(arguments: [300, 70_000])
  func everyTruncationIsFound(vocabularySize: Int) throws {
    let bytes = try intact(vocabularySize)
    for count in bytes.indices {
      let found = try error(Array(bytes[..<count]))
      switch found {
      case .notAShard where count < 8, .wrongLength: break
      default: Issue.record("\(count) bytes: \(String(describing: found))")
      }
    }
    #expect(try error(bytes + [0, 0]) != nil)
  }

  @Test func aTokenOutOfRangeIsNamed() throws {
    var bytes = try intact()
    bytes[72 + 2 * 3] = 0x2C
    bytes[72 + 2 * 3 + 1] = 0x01
    guard case .tokenOutOfRange(_, 3, 300, 300) = try error(bytes) else {
      Issue.record("token 300 of a vocabulary of 300 was accepted")
      return
    }
  }
}
