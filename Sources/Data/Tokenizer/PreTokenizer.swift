internal import Foundation

/// Cuts text into the words that merges never cross.
///
/// Each pattern in turn cuts every piece that the patterns before it left: matches and the gaps between them
/// become pieces of their own. A pattern sees one piece at a time, so a look-ahead stops at the piece's end.
struct PreTokenizer: Sendable {
  private let expressions: [NSRegularExpression]

  /// Fails with the first pattern that the regular expression library refuses.
  struct BadPattern: Error {
    let index: Int
  }

  init(patterns: [String]) throws(BadPattern) {
    var expressions: [NSRegularExpression] = []
    for (index, pattern) in patterns.enumerated() {
      guard let expression = try? NSRegularExpression(pattern: pattern) else {
        throw BadPattern(index: index)
      }
      expressions.append(expression)
    }
    self.expressions = expressions
  }

  /// Calls `body` with the UTF-8 bytes of each word, in order; together they are the whole text.
  func forEachWord(in text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    var text = text
    // Only contiguous native strings keep the index that makes UTF-16 offsets cheap.
    text.makeContiguousUTF8()
    let length = text.utf16.count
    let subject = text
    text.withUTF8 { bytes in
      var offset = 0
      withoutActuallyEscaping(body) { body in
        cut(subject, NSRange(location: 0, length: length), level: 0) { range in
          let end = PreTokenizer.advance(offset, in: bytes, byUTF16Units: range.length)
          body(UnsafeBufferPointer(rebasing: bytes[offset..<end]))
          offset = end
        }
      }
    }
  }

  private func cut(_ text: String, _ range: NSRange, level: Int, _ body: @escaping (NSRange) -> Void) {
    guard range.length > 0 else { return }
    guard level < expressions.count else { return body(range) }
    var start = range.location
    expressions[level].enumerateMatches(in: text, range: range) { match, _, _ in
      guard let found = match?.range, found.length > 0 else { return }
      cut(text, NSRange(location: start, length: found.location - start), level: level + 1, body)
      cut(text, found, level: level + 1, body)
      start = found.location + found.length
    }
    cut(text, NSRange(location: start, length: range.location + range.length - start), level: level + 1, body)
  }

  /// Four-byte sequences are the ones that take two UTF-16 units.
  private static func advance(
    _ offset: Int, in bytes: UnsafeBufferPointer<UInt8>, byUTF16Units units: Int
  ) -> Int {
    var offset = offset
    var left = units
    while left > 0 {
      switch bytes[offset] {
      case ..<0x80: offset += 1
      case ..<0xE0: offset += 2
      case ..<0xF0: offset += 3
      default:
        offset += 4
        left -= 1
      }
      left -= 1
    }
    return offset
  }
}

extension PreTokenizer {
  /// The three cuts of DeepSeek-V3. Source: spec §4.3.
  static let deepSeekPatterns = [
    #"\p{N}{1,3}"#,
    "[一-龥぀-ゟ゠-ヿ]+",
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
      + #"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
  ]

  /// What `ByteLevel` cuts by when its own expression is switched on. Source: GPT-2's encoder.
  static let gpt2Pattern =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
}
