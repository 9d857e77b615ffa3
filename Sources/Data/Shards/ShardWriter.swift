/// Writes a token shard document by document; the file appears when it is whole. Format: `ShardHeader`.
package struct ShardWriter {
  private let file: AtomicFile
  private var hash = FNV1a()
  /// The counts so far.
  package private(set) var header: ShardHeader

  /// - Throws: `ShardError.file` when the file cannot be created.
  package init(path: String, vocabularySize: Int, endOfText: Int32) throws(ShardError) {
    let ids = 0..<Int32(vocabularySize)
    precondition(ids.contains(endOfText), "end of text \(endOfText), vocabulary \(vocabularySize)")
    header = ShardHeader(vocabularySize: vocabularySize, endOfText: endOfText)
    do {
      file = try AtomicFile(path)
      try file.write(header.encoded)
    } catch {
      throw .file(error)
    }
    try append([endOfText])
  }

  /// Appends a document and the end-of-text after it.
  /// - Parameter textBytes: UTF-8 bytes of the text that the tokens stand for.
  package mutating func append(document tokens: [Int32], textBytes: Int) throws(ShardError) {
    precondition(
      textBytes >= tokens.count, "\(tokens.count) tokens cannot stand for \(textBytes) bytes of text")
    for token in tokens {
      precondition(
        token >= 0 && token < header.vocabularySize && token != header.endOfText,
        "a document holds token \(token): end of text (\(header.endOfText)), or not in the vocabulary")
    }
    try append(tokens)
    try append([header.endOfText])
    header.documentCount += 1
    header.textBytes += textBytes
  }

  /// Puts the shard in its place and returns what is in it.
  package mutating func finish() throws(ShardError) -> ShardHeader {
    header.checksum = hash.value.mixed
    do {
      try file.rewriteStart(header.encoded)
      try file.commit()
    } catch {
      throw .file(error)
    }
    return header
  }

  private mutating func append(_ tokens: [Int32]) throws(ShardError) {
    for token in tokens { hash.combine(UInt64(token)) }
    header.tokenCount += tokens.count
    let wide = tokens.map { UInt32($0).littleEndian }
    do {
      if header.tokenWidth == 4 {
        try file.write(wide.withUnsafeBytes { Array($0) })
      } else {
        try file.write(tokens.map { UInt16($0).littleEndian }.withUnsafeBytes { Array($0) })
      }
    } catch {
      throw .file(error)
    }
  }
}
