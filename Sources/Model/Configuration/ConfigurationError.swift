/// One thing that is wrong with a configuration.
package struct ConfigurationFault: Sendable, Hashable, CustomStringConvertible {
  package let location: ConfigurationLocation
  /// Dotted, as `--set` takes it (`model.hidden_size`); empty when the whole file is meant.
  package let path: String
  /// What is wrong and what to do.
  package let message: String

  package init(location: ConfigurationLocation, path: String, message: String) {
    self.location = location
    self.path = path
    self.message = message
  }

  /// `train.yaml:12: model.hiden_size: unknown key; did you mean hidden_size?`
  package var description: String {
    path.isEmpty ? "\(location): \(message)" : "\(location): \(path): \(message)"
  }
}

/// Every fault found in a configuration, in the order of the text; never empty.
package struct ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
  package let faults: [ConfigurationFault]

  package init(faults: [ConfigurationFault]) {
    precondition(!faults.isEmpty, "a ConfigurationError needs at least one fault")
    self.faults = faults
  }

  package init(at location: ConfigurationLocation, path: String = "", _ message: String) {
    self.init(faults: [ConfigurationFault(location: location, path: path, message: message)])
  }

  /// One line a fault, ready for stderr.
  package var description: String { faults.map(\.description).joined(separator: "\n") }
}
