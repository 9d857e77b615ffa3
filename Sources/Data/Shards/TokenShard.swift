internal import Foundation

/// A token shard, mapped and checked. Format: `ShardHeader`.
struct TokenShard: Sendable {
  let path: String
  let header: ShardHeader
  private let file: Data

  /// Maps the file and reads it once, so that later reads cannot fail.
  /// - Throws: `ShardError` that names the header field or the token that is wrong.
  init(path: String) throws(ShardError) {
    self.path = path
    do {
      file = try MappedFile.bytes(of: path)
    } catch {
      throw .file(error)
    }
    header = try ShardHeader(reading: file, path: path)
    if header.tokenWidth == 2 {
      try check(as: UInt16.self)
    } else {
      try check(as: UInt32.self)
    }
  }

  /// Copies `count` tokens from the one at `start` on to `target`.
  func copyTokens(at start: Int, count: Int, into target: UnsafeMutablePointer<Int32>) {
    if header.tokenWidth == 2 {
      withTokens(as: UInt16.self) { tokens in
        for index in 0..<count { target[index] = Int32(UInt16(littleEndian: tokens[start + index])) }
      }
    } else {
      withTokens(as: UInt32.self) { tokens in
        for index in 0..<count { target[index] = Int32(UInt32(littleEndian: tokens[start + index])) }
      }
    }
  }

  private func withTokens<Token: FixedWidthInteger, Result>(
    as type: Token.Type, _ body: (UnsafeBufferPointer<Token>) -> Result
  ) -> Result {
    file.withUnsafeBytes { buffer in
      // The header's length keeps the tokens aligned.
      body(UnsafeRawBufferPointer(rebasing: buffer[ShardHeader.byteCount...]).bindMemory(to: type))
    }
  }

  private func check<Token: FixedWidthInteger & Sendable>(as type: Token.Type) throws(ShardError) {
    let vocabularySize = UInt64(header.vocabularySize)
    let end = UInt64(header.endOfText)
    let (hash, ends, bad) = withTokens(as: type) { tokens in
      var hash = FNV1a()
      var ends = 0
      for (position, stored) in tokens.enumerated() {
        let token = UInt64(Token(littleEndian: stored))
        guard token < vocabularySize else { return (hash, ends, position as Int?) }
        hash.combine(token)
        if token == end { ends += 1 }
      }
      return (hash, ends, nil)
    }
    if let bad {
      let token = withTokens(as: type) { Int(Token(littleEndian: $0[bad])) }
      throw .tokenOutOfRange(
        path: path, position: bad, token: token, vocabularySize: header.vocabularySize)
    }
    guard hash.value.mixed == header.checksum else {
      throw .damaged(path: path, reason: "the checksum of its tokens does not match")
    }
    let (first, last) = withTokens(as: type) { tokens in
      (UInt64(Token(littleEndian: tokens[0])), UInt64(Token(littleEndian: tokens[tokens.count - 1])))
    }
    guard first == end, last == end, ends == header.documentCount + 1 else {
      throw .damaged(
        path: path, reason: "\(ends) end-of-text tokens do not enclose \(header.documentCount) documents")
    }
  }
}
