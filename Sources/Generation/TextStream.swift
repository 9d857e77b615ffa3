package import Data

/// Turns tokens into pieces of text as they come. A character of several bytes may be spread over tokens: it is held
/// back until it is whole.
package struct TextStream {
  private let tokenizer: Tokenizer
  private var held: [UInt8] = []

  package init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  /// The text that is certain after one more token; empty while a character is incomplete.
  package mutating func append(_ token: Int32) -> String {
    append(bytes: tokenizer.decodeBytes([token]))
  }

  /// As `append`, of the bytes that tokens stand for.
  package mutating func append(bytes: [UInt8]) -> String {
    held += bytes
    let whole = held.count - Self.incompleteSuffix(held)
    let text = String(decoding: held[..<whole], as: UTF8.self)
    held.removeFirst(whole)
    return text
  }

  /// What was held back; a character that never became whole is U+FFFD.
  package mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }

  /// How many bytes at the end begin a character that needs more of them.
  ///
  /// The cut is always before a first byte, where every decoder begins anew: the pieces together are the text that
  /// the bytes together are, also where those are not UTF-8.
  private static func incompleteSuffix(_ bytes: [UInt8]) -> Int {
    for count in 1...3 where count <= bytes.count {
      let byte = bytes[bytes.count - count]
      if byte & 0xC0 == 0x80 { continue }
      let needed =
        switch byte {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 1
        }
      return count < needed ? count : 0
    }
    return 0
  }
}
