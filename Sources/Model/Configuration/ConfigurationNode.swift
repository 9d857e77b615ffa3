/// A configuration as it was written: a tree of text that knows where each piece stands.
///
/// It is neutral about the file format, so that this target needs no YAML library, and about types: the
/// `Schema` decides what `1e-6` is.
package struct ConfigurationNode: Sendable, Hashable {
  package enum Content: Sendable, Hashable {
    case null
    /// Quoted text is never read as a number or a truth value.
    case scalar(String, quoted: Bool)
    case sequence([ConfigurationNode])
    /// In the order of the text; a key may stand here twice, which the schema reports.
    case mapping([Entry])
  }

  package struct Entry: Sendable, Hashable {
    package let key: String
    package let location: ConfigurationLocation
    package var value: ConfigurationNode

    package init(key: String, location: ConfigurationLocation, value: ConfigurationNode) {
      self.key = key
      self.location = location
      self.value = value
    }
  }

  package var content: Content
  package let location: ConfigurationLocation

  package init(_ content: Content, at location: ConfigurationLocation = .generated) {
    self.content = content
    self.location = location
  }

  /// An unquoted scalar of our own making: a number, a truth value or one of an enumeration's words.
  package static func plain(_ text: String) -> ConfigurationNode { .init(.scalar(text, quoted: false)) }

  package static let null = ConfigurationNode(.null)

  package var isNull: Bool { content == .null }

  /// The entries of a mapping; nil for anything else.
  package var entries: [Entry]? {
    guard case .mapping(let entries) = content else { return nil }
    return entries
  }

  package func entry(_ key: String) -> Entry? { entries?.first { $0.key == key } }

  /// What a fault says was found: `a list`, `'abc'`.
  package var found: String {
    switch content {
    case .null: "nothing (null)"
    case .scalar(let text, quoted: false): "'\(text)'"
    case .scalar(let text, quoted: true): "the text \"\(text)\""
    case .sequence: "a list"
    case .mapping: "a mapping"
    }
  }

  /// Whether something stands at a dotted path.
  func contains(path: String) -> Bool {
    var node: ConfigurationNode? = self
    for key in path.split(separator: ".") { node = node?.entry(String(key))?.value }
    return node != nil
  }

  /// The location of the longest part of a dotted path that exists: where a fault about the path points.
  func location(ofPath path: String) -> ConfigurationLocation {
    var node = self
    var location = self.location
    for key in path.split(separator: ".") {
      guard let entry = node.entry(String(key)) else { break }
      location = entry.location
      node = entry.value
    }
    return location
  }
}

extension ConfigurationNode {
  /// Puts `value` at a path, making the mappings on the way; what stood there is replaced.
  ///
  /// An item of a list is named by its index (`learning_rate.phases.0.to`). Whether the keys exist is for
  /// the schema to say, exactly as for keys that stand in the file.
  package mutating func set(_ path: some Collection<String>, to value: ConfigurationNode)
    throws(ConfigurationError)
  {
    guard let key = path.first else {
      self = value
      return
    }
    if case .sequence(var items) = content {
      guard let index = Int(key), items.indices.contains(index) else {
        let message = "'\(key)' is no item of a list of \(items.count); items are counted from 0"
        throw ConfigurationError(at: value.location, message)
      }
      try items[index].set(path.dropFirst(), to: value)
      content = .sequence(items)
      return
    }
    var entries = self.entries ?? []
    let index = entries.firstIndex { $0.key == key }
    var child = index.map { entries[$0].value } ?? ConfigurationNode(.mapping([]), at: value.location)
    try child.set(path.dropFirst(), to: value)
    // A section keeps its own line; only what is replaced or new belongs to the override.
    let keyLocation = path.count > 1 ? index.map { entries[$0].location } : nil
    let entry = Entry(key: key, location: keyLocation ?? value.location, value: child)
    if let index { entries[index] = entry } else { entries.append(entry) }
    self = ConfigurationNode(.mapping(entries), at: self.entries == nil ? value.location : location)
  }
}
