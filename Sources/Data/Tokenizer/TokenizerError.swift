/// Why a tokenizer cannot be read, used or trained.
package enum TokenizerError: Error, Hashable, CustomStringConvertible {
  /// The file cannot be read or written.
  case file(FileError)
  /// The bytes are not JSON.
  case notJSON(path: String, reason: String)
  /// A value in the file is missing, has the wrong type or contradicts another one.
  case malformed(path: String, key: String, reason: String)
  /// The file asks for something that is not built here.
  case unsupported(path: String, key: String, component: String)
  /// No end-of-text token was named, and none of the known ones is in the file.
  case noEndOfText(path: String, candidates: [String])
  /// Fewer tokens were asked for than there are bytes and special tokens, or more than an id can count.
  case vocabularySize(asked: Int, allowed: ClosedRange<Int>)

  package var description: String {
    switch self {
    case .file(let error): "\(error)"
    case .notJSON(let path, let reason): "\(path) is not a tokenizer.json: \(reason)"
    case .malformed(let path, let key, let reason): "\(path): \(key): \(reason)"
    case .unsupported(let path, let key, let component):
      "\(path): \(key): \(component) is not supported (byte-level BPE tokenizers are)"
    case .noEndOfText(let path, let candidates):
      "\(path): no end-of-text token among added_tokens; looked for "
        + candidates.joined(separator: ", ") + "; name the one that ends a document"
    case .vocabularySize(let asked, let allowed):
      "a vocabulary of \(asked) tokens cannot be trained; give \(allowed.lowerBound) to \(allowed.upperBound)"
    }
  }
}
