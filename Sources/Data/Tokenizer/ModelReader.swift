internal import Foundation

/// Reads the `model` of a `tokenizer.json`: vocabulary and merges of a byte-level BPE.
struct ModelReader {
  let model: JSONObject
  let addedTokens: [Tokenizer.AddedToken]

  func contents(_ preTokenizer: PreTokenizer) throws(TokenizerError) -> Tokenizer.Contents {
    try refuseVariants()
    let vocabulary = try vocabulary()
    let ids = try idsOfBytes(vocabulary)
    return Tokenizer.Contents(
      preTokenizer: preTokenizer, tokens: try tokens(vocabulary, ids), byteTokens: try byteTokens(ids),
      merges: try merges(ids), addedTokens: addedTokens,
      wholeWords: try model.flag("ignore_merges") ? ids : [:])
  }

  private func refuseVariants() throws(TokenizerError) {
    // A file without the type is of another era; guessing would give wrong ids.
    let type = try model.string("type")
    guard type == "BPE" else { throw model.unsupported("type", type) }
    try model.allowOnly([
      "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
      "byte_fallback", "ignore_merges", "vocab", "merges",
    ])
    if !model.isNull("dropout"), try model.value("dropout", as: Double.self, called: "a number") != 0 {
      throw model.unsupported("dropout", "anything but null")
    }
    if !model.isNull("unk_token") { throw model.unsupported("unk_token", try model.string("unk_token")) }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] where !model.isNull(key) {
      let affix = try model.string(key)
      guard affix.isEmpty else { throw model.unsupported(key, affix) }
    }
    if try model.flag("byte_fallback") { throw model.unsupported("byte_fallback", "true") }
  }

  private func vocabulary() throws(TokenizerError) -> [String: Int32] {
    let entries = try model.value("vocab", as: [String: Int].self, called: "an object of token ids")
    var vocabulary: [String: Int32] = [:]
    vocabulary.reserveCapacity(entries.count)
    for (text, id) in entries {
      guard Tokenizer.idRange.contains(id) else {
        throw model.malformed("vocab", "\(text): \(id) is not a token id (\(Tokenizer.idRange))")
      }
      vocabulary[text] = Int32(id)
    }
    return vocabulary
  }

  /// Ids by bytes, without the entries that are there for an added token.
  private func idsOfBytes(_ vocabulary: [String: Int32]) throws(TokenizerError) -> [[UInt8]: Int32] {
    let added = Dictionary(uniqueKeysWithValues: addedTokens.map { ($0.id, $0.content) })
    var ids: [[UInt8]: Int32] = [:]
    ids.reserveCapacity(vocabulary.count)
    for (text, id) in vocabulary {
      if let content = added[id] {
        guard content == text else {
          throw model.malformed("vocab", "id \(id) is \(text) here and \(content) in added_tokens")
        }
      } else if let bytes = ByteAlphabet.decode(text), !bytes.isEmpty {
        ids[bytes] = id
      } else {
        throw model.malformed("vocab", "\(text) (\(id)) is not made of the byte-level characters")
      }
    }
    return ids
  }

  /// The bytes of each id.
  private func tokens(
    _ vocabulary: [String: Int32], _ ids: [[UInt8]: Int32]
  ) throws(TokenizerError) -> [[UInt8]?] {
    let greatest = max(vocabulary.values.max() ?? 0, addedTokens.map(\.id).max() ?? 0)
    var tokens = [[UInt8]?](repeating: nil, count: Int(greatest) + 1)
    for token in addedTokens { tokens[Int(token.id)] = Array(token.content.utf8) }
    for (bytes, id) in ids {
      if let other = tokens[Int(id)] {
        let names = [bytes, other].map { ByteAlphabet.encode($0) }.sorted().joined(separator: " and ")
        throw model.malformed("vocab", "id \(id) belongs to two tokens, \(names)")
      }
      tokens[Int(id)] = bytes
    }
    return tokens
  }

  /// Without all 256 bytes, some texts would lose characters.
  private func byteTokens(_ ids: [[UInt8]: Int32]) throws(TokenizerError) -> [Int32] {
    var tokens: [Int32] = []
    for byte in UInt8.min...UInt8.max {
      guard let id = ids[[byte]] else {
        let name = ByteAlphabet.encode([byte])
        throw model.malformed("vocab", "the token of byte \(byte), \(name), is missing; all 256 are needed")
      }
      tokens.append(id)
    }
    return tokens
  }

  private func merges(_ ids: [[UInt8]: Int32]) throws(TokenizerError) -> MergeTable {
    let entries = try model.value("merges", as: [Any].self, called: "a list of pairs")
    var table = MergeTable(minimumCapacity: entries.count)
    for (index, entry) in entries.enumerated() {
      let key = "merges[\(index)]"
      guard let (left, right) = ModelReader.pair(entry) else {
        throw model.malformed(key, "must be \"a b\" or [\"a\", \"b\"]")
      }
      func id(_ text: String) throws(TokenizerError) -> (bytes: [UInt8], id: Int32) {
        guard let bytes = ByteAlphabet.decode(text), let id = ids[bytes] else {
          throw model.malformed(key, "\(text) is not in the vocabulary")
        }
        return (bytes, id)
      }
      let (first, second) = (try id(left), try id(right))
      guard let merged = ids[first.bytes + second.bytes] else {
        throw model.malformed(key, "what it makes, \(left)\(right), is not in the vocabulary")
      }
      guard table.append(TokenPair(first.id, second.id), token: merged) else {
        throw model.malformed(key, "\(left) \(right) has been merged before")
      }
    }
    return table
  }

  /// The space separates: the alphabet of tokens has none.
  private static func pair(_ entry: Any) -> (String, String)? {
    let parts = (entry as? String)?.components(separatedBy: " ") ?? entry as? [String]
    guard let parts, parts.count == 2 else { return nil }
    return (parts[0], parts[1])
  }
}
