internal import Foundation
internal import Glibc

/// Walks through the lines of one mapped file and cuts it into records.
struct RecordCursor {
  let path: String
  private let bytes: Data
  private var position = 0
  /// The number of the line at `position`, from 1.
  private(set) var line = 1

  /// - Throws: `DocumentError` when the file cannot be read or is not UTF-8.
  init(path: String) throws(DocumentError) {
    self.path = path
    do {
      bytes = try MappedFile.bytes(of: path)
    } catch {
      throw .file(error)
    }
    if let byte = RecordCursor.firstInvalidByte(in: bytes) { throw .notUTF8(path: path, byte: byte) }
  }

  private static func firstInvalidByte(in bytes: Data) -> Int? {
    do throws(UTF8.ValidationError) {
      _ = try UTF8Span(validating: bytes.span)
      return nil
    } catch {
      return error.byteOffsets.lowerBound
    }
  }

  /// The rest of the file.
  mutating func rest() -> String? {
    guard position < bytes.count else { return nil }
    defer { position = bytes.count }
    return text(position..<bytes.count)
  }

  /// The next line without its end, or nil after the last one.
  mutating func nextLine() -> String? { nextLineRange().map { text($0) } }

  /// The text up to the next line that equals the separator, without the end of its last line; nil at the end.
  mutating func nextRecord(separator: [UInt8]) -> String? {
    guard position < bytes.count else { return nil }
    let start = position
    var end = start
    while let line = nextLineRange() {
      if bytes[line].elementsEqual(separator) { break }
      end = line.upperBound
    }
    return text(start..<end)
  }

  /// Lines end with "\n" or "\r\n", the last one perhaps with nothing.
  private mutating func nextLineRange() -> Range<Int>? {
    guard position < bytes.count else { return nil }
    let start = position
    let newline = bytes.withUnsafeBytes { buffer -> Int? in
      let base = buffer.baseAddress!
      return memchr(base + start, 0x0A, buffer.count - start).map { UnsafeRawPointer($0) - base }
    }
    var end = newline ?? bytes.count
    position = newline.map { $0 + 1 } ?? bytes.count
    line += 1
    if newline != nil, end > start, bytes[end - 1] == 0x0D { end -= 1 }
    return start..<end
  }

  private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
}
