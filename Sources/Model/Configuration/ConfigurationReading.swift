/// The state of reading a configuration: where in the tree the reader stands, and what it has found wrong.
package struct ConfigurationReading: Sendable {
  package private(set) var faults: [ConfigurationFault] = []
  private var path: [String]
  /// Every key of the whole configuration by its last name, to point out a key put in the wrong section.
  private let pathsByKey: [String: [String]]

  package init(path: [String] = [], rows: [ReferenceRow] = []) {
    self.path = path
    var paths: [String: [String]] = [:]
    ReferenceRow.visit(rows, under: path) { row, path in paths[row.key, default: []].append(path) }
    pathsByKey = paths
  }

  /// Reports a fault of the current path, or of `key` below it.
  package mutating func fault(at location: ConfigurationLocation, key: String? = nil, _ message: String) {
    faults.append(
      ConfigurationFault(location: location, path: dotted(key), message: message))
  }

  /// Reads what stands under `key`.
  package mutating func within<Result>(
    _ key: String, _ body: (inout ConfigurationReading) -> Result
  ) -> Result {
    path.append(key)
    defer { path.removeLast() }
    return body(&self)
  }

  /// Whether something at or below `key` of the current path is at fault.
  func isFaulty(_ key: String) -> Bool {
    let prefix = dotted(key)
    return faults.contains { $0.path == prefix || $0.path.hasPrefix(prefix + ".") }
  }

  /// Reports a key that no field takes.
  mutating func unknownKey(_ entry: ConfigurationNode.Entry, known: [String]) {
    let hint =
      if let nearest = NearestKey.find(entry.key, among: known) {
        "did you mean \(nearest)?"
      } else if let elsewhere = pathsByKey[entry.key] {
        "the key of this name is \(elsewhere.joined(separator: " or "))"
      } else {
        "known here: \(known.joined(separator: ", "))"
      }
    fault(at: entry.location, key: entry.key, "unknown key; \(hint)")
  }

  private func dotted(_ key: String?) -> String { (path + [key].compactMap(\.self)).joined(separator: ".") }
}
