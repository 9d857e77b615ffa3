internal import Foundation

/// A `tokenizer.json` in the making: special tokens, the bytes, and merges as they are learned.
struct TokenizerFile {
  private let specialTokens: [String]
  private let patterns: [String]
  /// The text of each token, at its id.
  private var texts: [String]
  private var ids: [String: Int32] = [:]
  private var merges: [TokenPair] = []
  private var merged: [TokenPair: Int32] = [:]
  /// The token of each of the 256 bytes.
  let byteTokens: [Int32]

  init(specialTokens: [String], patterns: [String]) {
    self.specialTokens = specialTokens
    self.patterns = patterns
    texts = specialTokens
    var byteTokens = [Int32](repeating: 0, count: 256)
    for byte in ByteAlphabet.bytesByScalar {
      byteTokens[Int(byte)] = Int32(texts.count)
      texts.append(ByteAlphabet.encode([byte]))
    }
    self.byteTokens = byteTokens
    for (id, text) in texts.enumerated() { ids[text] = Int32(id) }
  }

  var vocabularySize: Int { texts.count }

  /// Adds a merge and returns what it makes: a new token, or the one with the same text that another merge made.
  ///
  /// Two ways to one token let a pair that is merged already occur again; it keeps its first place in the list.
  mutating func append(_ pair: TokenPair) -> Int32 {
    if let id = merged[pair] { return id }
    let text = texts[Int(pair.left)] + texts[Int(pair.right)]
    let id = ids[text] ?? Int32(texts.count)
    if id == texts.count {
      ids[text] = id
      texts.append(text)
    }
    merges.append(pair)
    merged[pair] = id
    return id
  }

  /// The file, vocabulary in the order of ids.
  var json: Data {
    let added = specialTokens.enumerated().map { id, content in
      #"    {"id": \#(id), "content": \#(quoted(content)), "single_word": false, "lstrip": false, "#
        + #""rstrip": false, "normalized": false, "special": true}"#
    }
    let splits = patterns.map { pattern in
      #"      {"type": "Split", "pattern": {"Regex": \#(quoted(pattern))}, "behavior": "Isolated", "#
        + #""invert": false},"#
    }
    let text = """
      {
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [
      \(added.joined(separator: ",\n"))
        ],
        "normalizer": null,
        "pre_tokenizer": {
          "type": "Sequence",
          "pretokenizers": [
      \(splits.joined(separator: "\n"))
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
          ]
        },
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
      \(model)
        }
      }

      """
    return Data(text.utf8)
  }

  /// The members of `model`; merges are in the form that every reader of the format knows.
  private var model: String {
    let vocabulary = texts.enumerated().map { id, text in "      \(quoted(text)): \(id)" }
    let merges = merges.map { "      " + quoted("\(texts[Int($0.left)]) \(texts[Int($0.right)])") }
    return """
          "type": "BPE",
          "dropout": null,
          "unk_token": null,
          "continuing_subword_prefix": null,
          "end_of_word_suffix": null,
          "fuse_unk": false,
          "byte_fallback": false,
          "ignore_merges": false,
          "vocab": {
      \(vocabulary.joined(separator: ",\n"))
          },
          "merges": [
      \(merges.joined(separator: ",\n"))
          ]
      """
  }

  /// A JSON string. Neither tokens nor patterns hold control characters.
  private func quoted(_ text: String) -> String {
    let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    return "\"\(escaped)\""
  }
}
