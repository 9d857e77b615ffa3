/// Reads the `pre_tokenizer` of a `tokenizer.json`: `Split`s by regular expressions, then `ByteLevel`.
enum PreTokenizerReader {
  static func preTokenizer(of file: JSONObject) throws(TokenizerError) -> PreTokenizer {
    let outer = try file.object("pre_tokenizer")
    let type = try outer.string("type")
    let steps = type == "Sequence" ? try outer.objects("pretokenizers") : [outer]
    var patterns: [String] = []
    for (index, step) in steps.enumerated() {
      switch try step.string("type") {
      case "Split": patterns.append(try splitPattern(step))
      case "ByteLevel":
        guard index == steps.count - 1 else {
          throw step.unsupported("type", "ByteLevel before the last step")
        }
        if try usesOwnPattern(step) { patterns.append(PreTokenizer.gpt2Pattern) }
      case let other: throw step.unsupported("type", other)
      }
    }
    guard let last = steps.last, try last.string("type") == "ByteLevel" else {
      throw outer.unsupported("type", "\(type) without ByteLevel at its end")
    }
    do {
      return try PreTokenizer(patterns: patterns)
    } catch {
      throw outer.malformed("pretokenizers", "\(patterns[error.index]) is not a regular expression")
    }
  }

  private static func splitPattern(_ step: JSONObject) throws(TokenizerError) -> String {
    let behavior = try step.string("behavior")
    guard behavior == "Isolated" else { throw step.unsupported("behavior", behavior) }
    if try step.flag("invert") { throw step.unsupported("invert", "true") }
    let pattern = try step.object("pattern")
    try pattern.allowOnly(["Regex"])
    return try pattern.string("Regex")
  }

  /// `use_regex` is true when absent, as files older than the key mean it.
  private static func usesOwnPattern(_ step: JSONObject) throws(TokenizerError) -> Bool {
    if try step.flag("add_prefix_space") { throw step.unsupported("add_prefix_space", "true") }
    return step.isNull("use_regex") ? true : try step.flag("use_regex")
  }
}
