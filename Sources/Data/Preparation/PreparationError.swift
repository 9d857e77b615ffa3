/// Why a corpus cannot be prepared.
package enum PreparationError: Error, Hashable, CustomStringConvertible {
  case file(FileError)
  case document(DocumentError)
  case tokenizer(TokenizerError)
  case shard(ShardError)
  case outputNotEmpty(path: String)
  /// Every document, or none, was held out.
  case emptySplit(CorpusSplit, documents: Int, fraction: Double)
  /// The second reading of the input did not give the documents of the first.
  case inputChanged

  package var description: String {
    switch self {
    case .file(let error): "\(error)"
    case .document(let error): "\(error)"
    case .tokenizer(let error): "\(error)"
    case .shard(let error): "\(error)"
    case .outputNotEmpty(let path):
      "\(path) is not empty; choose another output directory, or say that it may be overwritten"
    case .emptySplit(let split, let documents, let fraction):
      "the \(split) split is empty: \(documents) documents, of which a fraction of \(fraction) is held out; "
        + "cut the text into more documents with a separator, or change the fraction"
    case .inputChanged: "the input changed while it was read; prepare it again"
    }
  }
}
