internal import Model

/// A `--set key.path=value` of the command line.
struct ConfigurationOverride: Sendable {
  let path: [String]
  let value: ConfigurationNode

  /// - Throws: if there is no `=`, a part of the path is empty, or the value is no YAML.
  init(_ text: String) throws(ConfigurationError) {
    let option = ConfigurationLocation(source: "--set \(text)")
    guard let equals = text.firstIndex(of: "=") else {
      throw ConfigurationError(at: option, "expected key.path=value, as in --set training.steps=100")
    }
    let key = text[..<equals]
    path = key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard path.allSatisfy({ !$0.isEmpty }) else {
      throw ConfigurationError(at: option, "'\(key)' is no path of keys; write section.key=value")
    }
    let value = String(text[text.index(after: equals)...])
    self.value = try ConfigurationReader.parseOverride(value, option: "--set \(key)")
  }

  /// Applies overrides in their order (the last of equal paths wins) and returns the faults.
  static func apply(_ texts: [String], to node: inout ConfigurationNode) -> [ConfigurationFault] {
    var faults: [ConfigurationFault] = []
    for text in texts {
      do throws(ConfigurationError) {
        let override = try ConfigurationOverride(text)
        try node.set(override.path, to: override.value)
      } catch {
        faults += error.faults
      }
    }
    return faults
  }
}
