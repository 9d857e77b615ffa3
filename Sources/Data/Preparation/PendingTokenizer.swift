/// The tokenizer of a corpus that is being prepared: read from a file, or learned from the training documents.
struct PendingTokenizer {
  private let ready: Tokenizer?
  private var trainer: TokenizerTrainer?

  var isLearned: Bool { trainer != nil }

  /// - Throws: `TokenizerError` when the file cannot be used, or no vocabulary of the size can be trained.
  init(_ choice: CorpusPreparation.TokenizerChoice) throws(TokenizerError) {
    switch choice {
    case .file(let path, let endOfText):
      ready = try Tokenizer(contentsOf: path, endOfText: endOfText)
      trainer = nil
    case .trained(let vocabularySize):
      ready = nil
      trainer = try TokenizerTrainer(vocabularySize: vocabularySize)
    }
  }

  /// Shows a document of the training split.
  mutating func learn(from document: String) { trainer?.add(document) }

  /// The tokenizer, after all documents were shown; also saved to `path`.
  func finished(savingTo path: String) throws(TokenizerError) -> Tokenizer {
    let tokenizer: Tokenizer
    if let ready {
      tokenizer = ready
    } else if let trainer {
      tokenizer = try trainer.tokenizer()
    } else {
      preconditionFailure("neither a tokenizer nor a trainer")
    }
    try tokenizer.save(to: path)
    return tokenizer
  }
}
