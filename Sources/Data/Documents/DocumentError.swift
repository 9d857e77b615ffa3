/// Why documents cannot be read.
package enum DocumentError: Error, Hashable, CustomStringConvertible {
  case file(FileError)
  /// No paths were given, or nothing in them is a document.
  case noFiles(paths: [String], skipped: Int)
  case noDocuments(files: Int)
  /// `byte` counts from 0 and is where the first bad sequence starts.
  case notUTF8(path: String, byte: Int)
  /// A line of a JSONL file, counted from 1.
  case badLine(path: String, line: Int, reason: String)
  /// The separator must be one line.
  case badSeparator(String)
  case badFraction(Double)

  package var description: String {
    switch self {
    case .file(let error): "\(error)"
    case .noFiles(let paths, _) where paths.isEmpty: "no input was given; name files or directories of text"
    case .noFiles(let paths, let skipped):
      "there are no files to read in \(paths.joined(separator: ", ")) (\(skipped) skipped: "
        + "symbolic links, hidden files and the extensions to skip)"
    case .noDocuments(let files): "the corpus is empty: \(files) files, but no document with text in them"
    case .notUTF8(let path, let byte):
      "\(path): byte \(byte): not UTF-8; convert the file, or leave its extension out"
    case .badLine(let path, let line, let reason): "\(path):\(line): \(reason)"
    case .badSeparator(let separator):
      "the separator \(separator.debugDescription) must be the text of one line, without its end"
    case .badFraction(let fraction): "the held-out fraction \(fraction) must be at least 0 and below 1"
    }
  }
}
