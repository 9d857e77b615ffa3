/// Writes a `ConfigurationNode` as YAML that every YAML 1.2 reader takes.
package enum ConfigurationText {
  /// The whole text: mappings in block form, lists one item a line, what is inside an item on that line.
  package static func yaml(_ node: ConfigurationNode) -> String { block(node.entries ?? [], indent: 0) }

  private static func block(_ entries: [ConfigurationNode.Entry], indent: Int) -> String {
    let margin = String(repeating: " ", count: indent)
    return entries.map { entry in
      let head = "\(margin)\(scalar(entry.key)):"
      switch entry.value.content {
      case .mapping(let inner) where !inner.isEmpty: return head + "\n" + block(inner, indent: indent + 2)
      case .sequence(let items) where items.contains(where: { $0.entries != nil }):
        return head + "\n" + items.map { "\(margin)  - \(inline($0))\n" }.joined()
      default: return head + " \(inline(entry.value))\n"
      }
    }.joined()
  }

  /// A value on one line.
  package static func inline(_ node: ConfigurationNode) -> String {
    switch node.content {
    case .null: "null"
    case .scalar(let text, quoted: false): text
    case .scalar(let text, quoted: true): scalar(text)
    case .sequence(let items): "[" + items.map(inline).joined(separator: ", ") + "]"
    case .mapping(let entries):
      "{" + entries.map { "\(scalar($0.key)): \(inline($0.value))" }.joined(separator: ", ") + "}"
    }
  }

  /// Text without quotes where no reader can take it for anything but text, else in double quotes.
  private static func scalar(_ text: String) -> String {
    let isWord =
      text.first.map { $0.isLetter && $0.isASCII } == true
      && text.utf8.allSatisfy { isLetter($0) || "0123456789_-./".utf8.contains($0) }
    let isKeyword = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"].contains(text.lowercased())
    return isWord && !isKeyword ? text : quoted(text)
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for character in text.unicodeScalars {
      switch character {
      case "\"", "\\": result += "\\\(character)"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case _
      where character.value < 0x20 || (0x7F...0xA0).contains(character.value)
        || (0x2028...0x2029).contains(character.value) || character.value == 0xFEFF:
        let code = String(character.value, radix: 16, uppercase: true)
        result += "\\u" + String(repeating: "0", count: 4 - code.count) + code
      default: result.unicodeScalars.append(character)
      }
    }
    return result + "\""
  }
}
