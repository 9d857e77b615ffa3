extension Schema {
  /// Reads a whole section, or throws everything that is wrong with it.
  ///
  /// - Parameter path: where the section stands, for the words of the faults.
  package func parse(_ node: ConfigurationNode, path: [String] = []) throws(ConfigurationError) -> Root {
    var reading = ConfigurationReading(path: path, rows: referenceRows)
    let root = read(node, &reading)
    guard let root, reading.faults.isEmpty else { throw ConfigurationError(faults: reading.faults) }
    return root
  }

  /// Reads a section and reports its faults; keys at fault keep their defaults, so that reading can go on.
  package func read(_ written: ConfigurationNode, _ reading: inout ConfigurationReading) -> Root? {
    let node = normalize?(written, &reading) ?? written
    guard let entries = node.entries ?? (node.isNull ? [] : nil) else {
      reading.fault(at: node.location, "expected a section with keys, found \(node.found)")
      return nil
    }
    var root = initial
    var seen: [String: ConfigurationLocation] = [:]
    for entry in entries {
      if let first = seen.updateValue(entry.location, forKey: entry.key) {
        reading.fault(at: entry.location, key: entry.key, "duplicate key; it already stands at \(first)")
      } else if let field = fields.first(where: { $0.key == entry.key }) {
        reading.within(entry.key) { field.read(entry.value, &root, &$0) }
      } else if !unused.contains(entry.key) {
        reading.unknownKey(entry, known: fields.map(\.key))
      }
    }
    reportMissing(present: Set(seen.keys), root, at: node.location, &reading)
    for rule in rules { check(rule, root, node, &reading) }
    return root
  }

  private func reportMissing(
    present: Set<String>, _ root: Root, at location: ConfigurationLocation,
    _ reading: inout ConfigurationReading
  ) {
    for field in fields where !present.contains(field.key) {
      switch field.requirement {
      case .never: continue
      case .always: reading.fault(at: location, key: field.key, "missing; \(field.summary)")
      case .when(let reason, let holds):
        if holds(root) { reading.fault(at: location, key: field.key, "missing; it is needed when \(reason)") }
      }
    }
  }

  private func check(
    _ rule: Rule, _ root: Root, _ node: ConfigurationNode, _ reading: inout ConfigurationReading
  ) {
    guard !rule.keys.contains(where: { reading.isFaulty($0) }), let message = rule.check(root) else { return }
    let key = rule.keys.first { node.contains(path: $0) } ?? rule.keys[0]
    reading.fault(at: node.location(ofPath: key), key: key, message)
  }

  /// Every key with its value; `parse` reads it back to an equal value.
  package func write(_ root: Root) -> ConfigurationNode {
    let entries = fields.compactMap { field -> ConfigurationNode.Entry? in
      let value = field.write(root)
      if isCompact, value.isNull, field.write(initial).isNull { return nil }
      return .init(key: field.key, location: .generated, value: value)
    }
    return ConfigurationNode(.mapping(entries))
  }
}
