/// Where a piece of configuration was written, so that a fault can point at it.
package struct ConfigurationLocation: Sendable, Hashable, CustomStringConvertible {
  /// A file's path as the user gave it, or the command-line option (`--set model.hidden_size`).
  package let source: String
  /// Counted from 1; nil where the source has no lines.
  package let line: Int?
  /// Counted from 1, in Unicode scalars; nil where the source has no lines.
  package let column: Int?

  package init(source: String, line: Int? = nil, column: Int? = nil) {
    self.source = source
    self.line = line
    self.column = column
  }

  /// `train.yaml:12`, the form that editors and terminals make clickable.
  package var description: String { line.map { "\(source):\($0)" } ?? source }

  /// A value that this program made; it is never shown in a fault.
  package static let generated = ConfigurationLocation(source: "generated")
}
