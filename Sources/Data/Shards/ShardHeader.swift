internal import Foundation

/// The first 72 bytes of a token shard; all numbers little-endian and unsigned.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | magic, "HADALTOK" |
/// | 8 | 4 | format version, 1 |
/// | 12 | 4 | bytes a token: 2 when every id fits, else 4 |
/// | 16 | 8 | vocabulary size: every id is below it |
/// | 24 | 8 | tokens in the file |
/// | 32 | 8 | documents |
/// | 40 | 8 | UTF-8 bytes of the documents, for bits per byte |
/// | 48 | 8 | id of the end-of-text token |
/// | 56 | 8 | checksum of the tokens: FNV-1a 64, one step a token, finalized |
/// | 64 | 8 | checksum of the 64 bytes before: FNV-1a 64, one step a byte, finalized |
///
/// Then the tokens: end-of-text, and each document followed by end-of-text. So every token of a document
/// has a predecessor, and there is one end-of-text more than there are documents.
package struct ShardHeader: Hashable, Sendable {
  package var vocabularySize: Int
  package var endOfText: Int32
  package var tokenCount = 0
  package var documentCount = 0
  package var textBytes = 0
  var checksum: UInt64 = 0

  static let magic = Array("HADALTOK".utf8)
  static let version: UInt32 = 1
  static let byteCount = 72

  /// Bytes a token.
  var tokenWidth: Int { vocabularySize <= 1 << 16 ? 2 : 4 }

  init(vocabularySize: Int, endOfText: Int32) {
    self.vocabularySize = vocabularySize
    self.endOfText = endOfText
  }

  /// The header as bytes.
  var encoded: [UInt8] {
    var bytes = ShardHeader.magic
    func append(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    append(ShardHeader.version)
    append(UInt32(tokenWidth))
    for count in [vocabularySize, tokenCount, documentCount, textBytes, Int(endOfText)] {
      append(UInt64(count))
    }
    append(checksum)
    append(ShardHeader.checksum(of: bytes))
    return bytes
  }

  static func checksum(of bytes: [UInt8]) -> UInt64 {
    var hash = FNV1a()
    for byte in bytes { hash.combine(UInt64(byte)) }
    return hash.value.mixed
  }

  /// Reads and checks every field, against the others and against the length of the file.
  init(reading file: Data, path: String) throws(ShardError) {
    guard file.prefix(8).elementsEqual(ShardHeader.magic) else {
      throw .notAShard(path: path, reason: "it does not begin with HADALTOK")
    }
    guard file.count >= ShardHeader.byteCount else {
      throw .wrongLength(path: path, bytes: file.count, expected: ShardHeader.byteCount)
    }
    let fields = FieldReader(file: file, path: path)
    let version = fields.value(at: 8, UInt32.self)
    guard version == ShardHeader.version else {
      throw .notAShard(
        path: path, reason: "its version is \(version), this program reads \(ShardHeader.version)")
    }
    let vocabularySize = try fields.count(at: 16, "vocabulary size", 1...Tokenizer.idRange.upperBound + 1)
    let end = try fields.count(at: 48, "end-of-text id", 0...vocabularySize - 1)
    self.init(vocabularySize: vocabularySize, endOfText: Int32(end))
    let width = fields.value(at: 12, UInt32.self)
    guard width == tokenWidth else {
      throw .badHeader(
        path: path, field: "token width", reason: "\(width) bytes; \(tokenWidth) for this vocabulary")
    }
    tokenCount = try fields.count(at: 24, "token count", 1...Int.max / 8)
    let expected = ShardHeader.byteCount + tokenCount * tokenWidth
    guard file.count == expected else {
      throw .wrongLength(path: path, bytes: file.count, expected: expected)
    }
    documentCount = try fields.count(at: 32, "document count", 0...tokenCount - 1)
    // A token stands for at least one byte.
    textBytes = try fields.count(at: 40, "text byte count", tokenCount - 1 - documentCount...Int.max)
    checksum = fields.value(at: 56, UInt64.self)
    guard fields.value(at: 64, UInt64.self) == ShardHeader.checksum(of: Array(file.prefix(64))) else {
      throw .badHeader(path: path, field: "checksum", reason: "it does not match the fields")
    }
  }
}

/// Fields of a header by their offsets.
private struct FieldReader {
  let file: Data
  let path: String

  func value<Value: FixedWidthInteger & BitwiseCopyable>(at offset: Int, _ type: Value.Type) -> Value {
    file.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
  }

  func count(at offset: Int, _ name: String, _ allowed: ClosedRange<Int>) throws(ShardError) -> Int {
    let value = value(at: offset, UInt64.self)
    guard let count = Int(exactly: value), allowed.contains(count) else {
      let reason = "\(value) is not between \(allowed.lowerBound) and \(allowed.upperBound)"
      throw .badHeader(path: path, field: name, reason: reason)
    }
    return count
  }
}
