/// Encodes many texts with one tokenizer and remembers the words that it has met.
package struct TokenEncoder {
  private let tokenizer: Tokenizer
  private var merger = WordMerger()
  private var words = WordTable()
  /// The tokens of all remembered words in a row, and where those of each end.
  private var wordTokens: [Int32] = []
  private var wordEnds: [Int] = []

  /// Longer words hardly ever return.
  private static let longestRemembered = 64
  /// Some tens of megabytes; then the memory starts afresh.
  private static let mostRemembered = 1 << 19

  package init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  /// The token ids of a text; see `Tokenizer.encode`.
  package mutating func encode(_ text: String, allowSpecial: Bool = false) -> [Int32] {
    var output: [Int32] = []
    guard allowSpecial else {
      encodeWords(text, into: &output)
      return output
    }
    var text = text
    text.withUTF8 { bytes in
      var start = 0
      while let (range, id) = tokenizer.addedTokenFinder.first(in: bytes, from: start) {
        encodeWords(String(decoding: bytes[start..<range.lowerBound], as: UTF8.self), into: &output)
        output.append(id)
        start = range.upperBound
      }
      encodeWords(String(decoding: bytes[start...], as: UTF8.self), into: &output)
    }
    return output
  }

  private mutating func encodeWords(_ text: String, into output: inout [Int32]) {
    let contents = tokenizer.contents
    contents.preTokenizer.forEachWord(in: text) { word in
      guard word.count <= TokenEncoder.longestRemembered else {
        return TokenEncoder.encode(word, contents, &merger, into: &output)
      }
      let (number, isNew) = words.number(of: word)
      if isNew {
        TokenEncoder.encode(word, contents, &merger, into: &wordTokens)
        wordEnds.append(wordTokens.count)
      }
      output.append(contentsOf: wordTokens[(number == 0 ? 0 : wordEnds[number - 1])..<wordEnds[number]])
      if words.count == TokenEncoder.mostRemembered { forget() }
    }
  }

  private static func encode(
    _ word: UnsafeBufferPointer<UInt8>, _ contents: Tokenizer.Contents, _ merger: inout WordMerger,
    into output: inout [Int32]
  ) {
    if !contents.wholeWords.isEmpty, let token = contents.wholeWords[Array(word)] {
      return output.append(token)
    }
    merger.merge(word, byteTokens: contents.byteTokens, merges: contents.merges, into: &output)
  }

  private mutating func forget() {
    words = WordTable()
    wordTokens.removeAll(keepingCapacity: true)
    wordEnds.removeAll(keepingCapacity: true)
  }
}
