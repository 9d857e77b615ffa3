internal import Model

/// The `data` section: exactly one of a prepared corpus, token shards, or random tokens.
///
/// Relative paths are relative to the directory in which the program runs.
package struct DataSection: Sendable, Hashable {
  /// A corpus that `hadal prepare` made: shards of both kinds and the tokenizer.
  package var directory: String?
  package var train: [String] = []
  package var validation: [String] = []
  package var tokenizer: String?
  /// Uniformly random tokens, made from `training.seed`; for measuring speed.
  package var synthetic = false

  package init() {}

  static let schema = Schema<DataSection>(
    initial: DataSection(),
    fields: [
      .init(
        "directory", \.directory, ValueKind.string.optional(),
        "a corpus that `hadal prepare` made: shards and tokenizer"),
      .init("train", \.train, ValueKind.string.oneOrMore(), "token shards to train on, instead of directory"),
      .init("validation", \.validation, ValueKind.string.oneOrMore(), "token shards to evaluate on"),
      .init("tokenizer", \.tokenizer, ValueKind.string.optional(), "tokenizer.json of those shards"),
      .init(
        "synthetic", \.synthetic, .bool,
        "random tokens, every id equally likely, from training.seed: for measuring speed without a corpus"),
    ],
    rules: [
      .init("synthetic", "directory", "train") {
        let sources = [$0.directory != nil, !$0.train.isEmpty, $0.synthetic]
        switch sources.count(where: { $0 }) {
        case 1: return nil
        case 0: return "no training data; give one of directory, train and synthetic: true"
        default: return "more than one of directory, train and synthetic is given; keep one"
        }
      },
      .init("validation", "tokenizer", "directory", "synthetic") {
        guard $0.directory != nil || $0.synthetic else { return nil }
        let used = $0.directory != nil ? "directory holds its own" : "synthetic data has none"
        return $0.validation.isEmpty && $0.tokenizer == nil
          ? nil : "validation and tokenizer belong to train; \(used)"
      },
    ])
}
