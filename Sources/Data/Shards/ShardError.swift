/// Why a token shard cannot be read or written.
package enum ShardError: Error, Hashable, CustomStringConvertible {
  case file(FileError)
  /// Not a shard, or not one that this version reads.
  case notAShard(path: String, reason: String)
  /// A header field that contradicts another one or the file.
  case badHeader(path: String, field: String, reason: String)
  /// The file is not as long as its header says.
  case wrongLength(path: String, bytes: Int, expected: Int)
  /// `position` counts tokens from 0.
  case tokenOutOfRange(path: String, position: Int, token: Int, vocabularySize: Int)
  /// The tokens are not those that were written.
  case damaged(path: String, reason: String)
  case noShards
  /// Two shards that cannot be one stream.
  case mismatch(path: String, other: String, field: String, values: [Int])

  package var description: String {
    switch self {
    case .file(let error): "\(error)"
    case .notAShard(let path, let reason):
      "\(path) is not a token shard: \(reason); make it with hadal prepare"
    case .badHeader(let path, let field, let reason):
      "\(path): the header's \(field) is wrong: \(reason); prepare the corpus again"
    case .wrongLength(let path, let bytes, let expected):
      "\(path) has \(bytes) bytes, its header says \(expected): it is truncated or damaged; "
        + "prepare the corpus again"
    case .tokenOutOfRange(let path, let position, let token, let vocabularySize):
      "\(path): token \(position) is \(token), but the vocabulary has \(vocabularySize) tokens; "
        + "prepare the corpus again"
    case .damaged(let path, let reason): "\(path) is damaged: \(reason); prepare the corpus again"
    case .noShards: "no token shards were given"
    case .mismatch(let path, let other, let field, let values):
      "\(path) and \(other) cannot be read together: \(field) \(values[0]) and \(values[1]); use one tokenizer"
    }
  }
}
