import Model

/// Builds configuration trees as a reader of files would, with a line for every entry.
indirect enum Tree: Sendable, ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral,
  ExpressibleByArrayLiteral
{
  case text(String), quoted(String), null
  case list([Tree])
  case map([(String, Tree)])

  init(stringLiteral value: String) { self = .text(value) }
  init(dictionaryLiteral elements: (String, Tree)...) { self = .map(elements) }
  init(arrayLiteral elements: Tree...) { self = .list(elements) }

  /// Lines count entries in the order of the text, from 1.
  var node: ConfigurationNode {
    var line = 0
    return build(&line)
  }

  private func build(_ line: inout Int) -> ConfigurationNode {
    let location = ConfigurationLocation(source: "test.yaml", line: max(line, 1))
    switch self {
    case .null: return ConfigurationNode(.null, at: location)
    case .text(let text): return ConfigurationNode(.scalar(text, quoted: false), at: location)
    case .quoted(let text): return ConfigurationNode(.scalar(text, quoted: true), at: location)
    case .list(let items): return ConfigurationNode(.sequence(items.map { $0.build(&line) }), at: location)
    case .map(let pairs):
      var entries: [ConfigurationNode.Entry] = []
      for (key, tree) in pairs {
        line += 1
        let place = ConfigurationLocation(source: "test.yaml", line: line)
        entries.append(.init(key: key, location: place, value: tree.build(&line)))
      }
      return ConfigurationNode(.mapping(entries), at: location)
    }
  }

  /// The same mapping with one entry replaced, added, or (for nil) taken away.
  func with(_ key: String, _ value: Tree?) -> Tree {
    guard case .map(var pairs) = self else { preconditionFailure("\(self) is no mapping") }
    if let index = pairs.firstIndex(where: { $0.0 == key }) {
      if let value { pairs[index].1 = value } else { pairs.remove(at: index) }
    } else if let value {
      pairs.append((key, value))
    }
    return .map(pairs)
  }
}

/// The faults of a body that must throw.
func faults(_ body: () throws(ConfigurationError) -> Void) -> [String] {
  do throws(ConfigurationError) {
    try body()
    return []
  } catch {
    return error.faults.map(\.description)
  }
}
