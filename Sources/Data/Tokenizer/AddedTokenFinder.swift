/// Finds added tokens in text: the leftmost, and of those that start at one place the longest.
struct AddedTokenFinder: Sendable {
  private struct Needle: Sendable {
    let bytes: [UInt8]
    let id: Int32
  }

  /// Longest first, under their first byte.
  private let needles: [UInt8: [Needle]]

  init(_ tokens: [Tokenizer.AddedToken]) {
    let all = tokens.map { Needle(bytes: Array($0.content.utf8), id: $0.id) }
    needles = Dictionary(grouping: all) { $0.bytes[0] }
      .mapValues { $0.sorted { $0.bytes.count > $1.bytes.count } }
  }

  /// The first added token in the bytes from `start` on.
  func first(
    in bytes: UnsafeBufferPointer<UInt8>, from start: Int
  ) -> (range: Range<Int>, id: Int32)? {
    for position in start..<bytes.count {
      guard let candidates = needles[bytes[position]] else { continue }
      let rest = bytes[position...]
      if let found = candidates.first(where: { rest.starts(with: $0.bytes) }) {
        return (position..<position + found.bytes.count, found.id)
      }
    }
    return nil
  }
}
