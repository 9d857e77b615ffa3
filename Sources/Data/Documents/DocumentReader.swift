internal import Foundation

/// Reads the documents of a list of files one by one; memory holds one document at a time.
package struct DocumentReader {
  /// Records without any text, which are no documents.
  package private(set) var blanks = 0
  /// How many files have been opened.
  package private(set) var filesOpened = 0

  private let files: [String]
  private let separator: [UInt8]?
  private let textField: String
  private var cursor: RecordCursor?

  /// - Throws: `DocumentError.badSeparator` when the separator is empty or more than one line.
  package init(_ source: DocumentSource, files: [String]) throws(DocumentError) {
    separator = source.separator.map { Array($0.utf8) }
    if let separator, separator.isEmpty || separator.contains(0x0A) || separator.contains(0x0D) {
      throw .badSeparator(source.separator ?? "")
    }
    self.files = files
    textField = source.textField
  }

  /// The next document, or nil after the last one.
  /// - Throws: `DocumentError` with the file, and the byte or line, that cannot be read.
  package mutating func next() throws(DocumentError) -> String? {
    while true {
      guard let text = try nextInFile() else {
        guard filesOpened < files.count else { return nil }
        cursor = try RecordCursor(path: files[filesOpened])
        filesOpened += 1
        continue
      }
      if DocumentReader.hasText(text) { return text }
      blanks += 1
    }
  }

  /// Whether there is more than spaces, tabs and line ends.
  private static func hasText(_ text: String) -> Bool {
    text.utf8.contains { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
  }

  private mutating func nextInFile() throws(DocumentError) -> String? {
    guard let path = cursor?.path else { return nil }
    if path.hasSuffix(".jsonl") {
      guard let number = cursor?.line, let line = cursor?.nextLine() else { return nil }
      return try document(inLine: line, number, of: path)
    }
    guard let separator else { return cursor?.rest() }
    return cursor?.nextRecord(separator: separator)
  }

  /// A blank line of a JSONL file is a blank document, not an error.
  private func document(inLine line: String, _ number: Int, of path: String) throws(DocumentError) -> String {
    guard DocumentReader.hasText(line) else { return "" }
    let parsed = try? JSONSerialization.jsonObject(with: Data(line.utf8), options: .fragmentsAllowed)
    guard let value = parsed else {
      throw .badLine(path: path, line: number, reason: "not JSON")
    }
    guard let object = value as? [String: Any] else {
      throw .badLine(path: path, line: number, reason: "not a JSON object with a field \"\(textField)\"")
    }
    guard let field = object[textField] else {
      let keys = object.keys.sorted().joined(separator: ", ")
      throw .badLine(path: path, line: number, reason: "no field \"\(textField)\" among: \(keys)")
    }
    guard let text = field as? String else {
      throw .badLine(path: path, line: number, reason: "the field \"\(textField)\" is not a string")
    }
    return text
  }
}
