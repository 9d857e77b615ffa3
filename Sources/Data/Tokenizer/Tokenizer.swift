package import Foundation

/// A byte-level BPE tokenizer: text to token ids and back, without loss.
///
/// Text is cut into words, each word starts as its UTF-8 bytes, and pairs of neighbors merge in the order of the
/// file's list. Source: Sennrich et al., arXiv 1508.07909, on bytes as GPT-2 does it.
package struct Tokenizer: Sendable {
  /// A token that stands for a text of its own, outside the merges.
  package struct AddedToken: Hashable, Sendable {
    package let content: String
    package let id: Int32
    /// Whether it marks structure (as end-of-text does), in contrast to a word that was added to the vocabulary.
    package let isSpecial: Bool
  }

  /// What a parsed `tokenizer.json` says.
  struct Contents: Sendable {
    var preTokenizer: PreTokenizer
    /// The bytes of each token, at its id; nil where the file has no token.
    var tokens: [[UInt8]?]
    var byteTokens: [Int32]
    var merges: MergeTable
    var addedTokens: [AddedToken]
    /// Words that are tokens whatever the merges say; empty unless the file asks for it (`ignore_merges`).
    var wholeWords: [[UInt8]: Int32]
  }

  let contents: Contents
  let addedTokenFinder: AddedTokenFinder
  /// The file as it was read: saving it loses nothing.
  package let json: Data
  /// The id of the token that ends a document.
  package let endOfText: Int32

  /// Ids that are accepted: some hundred times those of the largest vocabulary in use.
  static let idRange = 0...(1 << 24) - 1

  /// Contents that are looked for, in this order, when the end-of-text token is not named.
  package static let knownEndOfText = [
    "<｜end▁of▁sentence｜>", "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>",
  ]

  /// Reads a `tokenizer.json`.
  /// - Parameter endOfText: the content of the token that ends a document; nil takes the first known one.
  /// - Throws: `TokenizerError` when the file is missing, damaged, or asks for what is not built here.
  package init(contentsOf path: String, endOfText: String? = nil) throws(TokenizerError) {
    let json: Data
    do {
      json = try MappedFile.bytes(of: path)
    } catch {
      throw .file(error)
    }
    // A copy: the file may be replaced while the tokenizer lives.
    try self.init(json: Data([UInt8](json)), path: path, endOfText: endOfText)
  }

  /// As `init(contentsOf:)`, of a file's bytes; `path` appears in errors.
  package init(
    json: Data, path: String = "tokenizer.json", endOfText: String? = nil
  ) throws(TokenizerError) {
    let contents = try TokenizerFileReader(path: path).contents(of: json)
    let candidates = endOfText.map { [$0] } ?? Tokenizer.knownEndOfText
    guard let end = candidates.lazy.compactMap({ contents.id(of: $0) }).first else {
      throw .noEndOfText(path: path, candidates: candidates)
    }
    self.contents = contents
    self.json = json
    self.endOfText = end
    addedTokenFinder = AddedTokenFinder(contents.addedTokens)
  }

  /// One more than the greatest id.
  package var vocabularySize: Int { contents.tokens.count }

  package var addedTokens: [AddedToken] { contents.addedTokens }

  /// The id of the added token with exactly this content.
  package func id(ofAddedToken content: String) -> Int32? { contents.id(of: content) }

  /// The token ids of a text. Without `allowSpecial`, text that looks like an added token is ordinary text.
  package func encode(_ text: String, allowSpecial: Bool = false) -> [Int32] {
    var encoder = TokenEncoder(self)
    return encoder.encode(text, allowSpecial: allowSpecial)
  }

  /// The bytes that the tokens stand for. An id without a token (models pad their vocabulary) gives U+FFFD.
  package func decodeBytes(_ ids: some Sequence<Int32>) -> [UInt8] {
    var bytes: [UInt8] = []
    for id in ids {
      precondition(id >= 0, "token id \(id) is negative")
      let token = Int(id) < contents.tokens.count ? contents.tokens[Int(id)] : nil
      bytes.append(contentsOf: token ?? Array("\u{FFFD}".utf8))
    }
    return bytes
  }

  /// The text of the tokens; bytes that are not UTF-8 (a character cut in two) become U+FFFD.
  package func decode(_ ids: some Sequence<Int32>) -> String {
    String(decoding: decodeBytes(ids), as: UTF8.self)
  }

  /// Writes the `tokenizer.json`, whole or not at all.
  package func save(to path: String) throws(TokenizerError) {
    do {
      let file = try AtomicFile(path)
      try file.write(json)
      try file.commit()
    } catch {
      throw .file(error)
    }
  }
}

extension Tokenizer.Contents {
  /// Unicode calls some different texts equal; a token's content is compared byte by byte.
  func id(of content: String) -> Int32? {
    addedTokens.first { $0.content.utf8.elementsEqual(content.utf8) }?.id
  }
}
