internal import Foundation
package import Model
internal import Yams

/// Reads YAML (and so JSON) into a tree that knows its lines.
package enum ConfigurationReader {
  /// Reads a file.
  ///
  /// - Throws: one fault for a file that is missing, unreadable, empty, or no YAML.
  package static func read(path: String) throws(ConfigurationError) -> ConfigurationNode {
    let location = ConfigurationLocation(source: path)
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
      throw ConfigurationError(at: location, "no such file")
    }
    guard !isDirectory.boolValue else {
      throw ConfigurationError(at: location, "is a directory; name a configuration file")
    }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ConfigurationError(at: location, "cannot be read; check its permissions")
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw ConfigurationError(at: location, "is not UTF-8 text")
    }
    return try parse(text, source: path)
  }

  /// Reads a text.
  ///
  /// - Parameter source: what faults call it.
  package static func parse(_ yaml: String, source: String) throws(ConfigurationError) -> ConfigurationNode {
    let node = try compose(yaml, source: source)
    guard let node, !node.isNull else {
      throw ConfigurationError(
        at: ConfigurationLocation(source: source), "is empty; expected a configuration")
    }
    return node
  }

  /// Reads the value of a `--set` option, which may be anything that could stand in the file.
  static func parseOverride(_ text: String, option: String) throws(ConfigurationError) -> ConfigurationNode {
    let location = ConfigurationLocation(source: option)
    do throws(ConfigurationError) {
      let node = try compose(text, source: option)
      return node?.relocated(to: location) ?? ConfigurationNode(.null, at: location)
    } catch {
      // An option has no lines to speak of.
      throw ConfigurationError(
        faults: error.faults.map {
          ConfigurationFault(location: location, path: $0.path, message: $0.message)
        })
    }
  }

  /// - Returns: nil where there is no document.
  private static func compose(
    _ yaml: String, source: String
  ) throws(ConfigurationError) -> ConfigurationNode? {
    var documents: [Node] = []
    do {
      // Not `compose_all`: iterating over that ends at an error as if it were the end of the text.
      let parser = try Yams.Parser(yaml: yaml)
      while let document = try parser.nextRoot() { documents.append(document) }
    } catch {
      throw ConfigurationError(faults: [fault(of: error, source: source)])
    }
    if documents.count > 1 {
      let location = ConfigurationLocation(source: source, line: documents[1].mark?.line)
      throw ConfigurationError(
        at: location, "a second document begins here; one file holds one configuration")
    }
    var faults: [ConfigurationFault] = []
    let node = documents.first.map { convert($0, source: source, &faults) }
    guard faults.isEmpty else { throw ConfigurationError(faults: faults) }
    return node
  }

  private static func convert(
    _ node: Node, source: String, _ faults: inout [ConfigurationFault]
  ) -> ConfigurationNode {
    let location = ConfigurationLocation(
      source: source, line: node.mark?.line, column: node.mark?.column)
    switch node {
    case .scalar(let scalar):
      let isPlain = scalar.style == .plain || scalar.style == .any
      if isPlain, ["", "~", "null", "Null", "NULL"].contains(scalar.string) {
        return ConfigurationNode(.null, at: location)
      }
      return ConfigurationNode(.scalar(scalar.string, quoted: !isPlain), at: location)
    case .sequence(let items):
      return ConfigurationNode(.sequence(items.map { convert($0, source: source, &faults) }), at: location)
    case .mapping(let pairs):
      return ConfigurationNode(.mapping(entries(pairs, source: source, &faults)), at: location)
    case .alias(let alias):
      let message = "the alias *\(alias.anchor.rawValue) refers to nothing"
      faults.append(ConfigurationFault(location: location, path: "", message: message))
      return ConfigurationNode(.null, at: location)
    }
  }

  private static func entries(
    _ pairs: Node.Mapping, source: String, _ faults: inout [ConfigurationFault]
  ) -> [ConfigurationNode.Entry] {
    pairs.compactMap { key, value in
      let location = ConfigurationLocation(source: source, line: key.mark?.line, column: key.mark?.column)
      guard case .scalar(let scalar) = key else {
        faults.append(ConfigurationFault(location: location, path: "", message: "a key must be a plain word"))
        return nil
      }
      if scalar.string == "<<", scalar.style == .plain {
        let message = "merge keys (<<) are not supported; write the keys out"
        faults.append(ConfigurationFault(location: location, path: "", message: message))
        return nil
      }
      let child = convert(value, source: source, &faults)
      return ConfigurationNode.Entry(key: scalar.string, location: location, value: child)
    }
  }

  /// The words of a YAML error, with its line.
  private static func fault(of error: any Error, source: String) -> ConfigurationFault {
    let (line, message): (Int?, String) =
      switch error as? YamlError {
      case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
        .composer(_, let problem, let mark, _):
        (mark.line, "not valid YAML: \(problem)")
      case .duplicatedKeysInMapping(let keys, let context):
        (context.mark.line, "duplicate key in the section that begins here: \(keys.joined(separator: ", "))")
      case .reader(let problem, _, _, _): (nil, "not valid YAML: \(problem)")
      default: (nil, "not valid YAML: \(error)")
      }
    let location = ConfigurationLocation(source: source, line: line)
    return ConfigurationFault(location: location, path: "", message: message)
  }
}

extension ConfigurationNode {
  /// The same tree, all of it standing at one place.
  fileprivate func relocated(to location: ConfigurationLocation) -> ConfigurationNode {
    switch content {
    case .null, .scalar: ConfigurationNode(content, at: location)
    case .sequence(let items):
      ConfigurationNode(.sequence(items.map { $0.relocated(to: location) }), at: location)
    case .mapping(let entries):
      ConfigurationNode(
        .mapping(
          entries.map { Entry(key: $0.key, location: location, value: $0.value.relocated(to: location)) }),
        at: location)
    }
  }
}

extension ModelConfiguration {
  /// Reads the `config.json` of an HF directory.
  ///
  /// - Throws: every fault, each with its line and key.
  package static func load(huggingFaceFile path: String) throws(ConfigurationError) -> ModelConfiguration {
    try parse(ConfigurationReader.read(path: path))
  }
}
