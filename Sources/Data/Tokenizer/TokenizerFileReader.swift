internal import Foundation

/// Reads `tokenizer.json`: byte-level BPE, and of the other components only those that change nothing.
///
/// What would change the ids (normalizers, templates, dropout, …) and is not built here is refused by its name.
struct TokenizerFileReader {
  let path: String

  func contents(of json: Data) throws(TokenizerError) -> Tokenizer.Contents {
    let file = try JSONObject(parsing: json, path: path)
    try file.allowOnly([
      "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
      "decoder", "model",
    ])
    guard try file.string("version") == "1.0" else {
      throw file.unsupported("version", try file.string("version"))
    }
    for key in ["truncation", "padding"] where !file.isNull(key) {
      throw file.unsupported(key, "anything but null")
    }
    try refuseNormalizer(file)
    try allowByteLevel(file, "post_processor")
    guard !file.isNull("decoder") else { throw file.unsupported("decoder", "null instead of ByteLevel") }
    try allowByteLevel(file, "decoder")
    let preTokenizer = try PreTokenizerReader.preTokenizer(of: file)
    let added = try addedTokens(file)
    return try ModelReader(model: try file.object("model"), addedTokens: added).contents(preTokenizer)
  }

  /// An empty sequence of normalizers is as good as none.
  private func refuseNormalizer(_ file: JSONObject) throws(TokenizerError) {
    guard !file.isNull("normalizer") else { return }
    let normalizer = try file.object("normalizer")
    let type = try normalizer.string("type")
    guard type == "Sequence" else { throw normalizer.unsupported("type", type) }
    for inner in try normalizer.objects("normalizers") {
      throw inner.unsupported("type", try inner.string("type"))
    }
  }

  /// As a post-processor `ByteLevel` only moves offsets, which are not kept here.
  private func allowByteLevel(_ file: JSONObject, _ key: String) throws(TokenizerError) {
    guard !file.isNull(key) else { return }
    let component = try file.object(key)
    let type = try component.string("type")
    guard type == "ByteLevel" else { throw component.unsupported("type", type) }
  }

  private func addedTokens(_ file: JSONObject) throws(TokenizerError) -> [Tokenizer.AddedToken] {
    guard !file.isNull("added_tokens") else { return [] }
    var tokens: [Tokenizer.AddedToken] = []
    for entry in try file.objects("added_tokens") {
      for key in ["single_word", "lstrip", "rstrip"] where try entry.flag(key) {
        throw entry.unsupported(key, "true")
      }
      let content = try entry.string("content")
      guard !content.isEmpty else { throw entry.malformed("content", "is empty") }
      let token = Tokenizer.AddedToken(
        content: content, id: try entry.id("id"), isSpecial: try entry.flag("special"))
      let twin = tokens.first { $0.id == token.id || $0.content.utf8.elementsEqual(content.utf8) }
      if let other = twin {
        throw entry.malformed("content", "\(content) (\(token.id)) repeats \(other.content) (\(other.id))")
      }
      tokens.append(token)
    }
    return tokens
  }
}
