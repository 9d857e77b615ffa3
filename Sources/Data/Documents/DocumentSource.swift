/// Where documents come from, and how files are cut into them.
///
/// A file whose name ends in `.jsonl` has an object a line, with the document in one of its fields. Any other file is
/// plain text: one document, or with a separator the records between the lines that equal it.
package struct DocumentSource: Hashable, Sendable, Codable {
  /// Files, and directories that are read with all below them.
  package var paths: [String]
  /// The text of the line between two records, without the line's end; nil makes each file one document.
  package var separator: String?
  /// The field of a JSONL object that holds the document.
  package var textField: String
  /// Extensions, without the dot, of files in directories that are not text.
  package var skippedExtensions: [String]

  package init(
    paths: [String], separator: String? = nil, textField: String = "text", skippedExtensions: [String] = []
  ) {
    self.paths = paths
    self.separator = separator
    self.textField = textField
    self.skippedExtensions = skippedExtensions
  }
}
