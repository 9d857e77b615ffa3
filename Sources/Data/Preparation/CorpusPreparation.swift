/// Turns text into what training reads: tokenizer, token shards, and the same text for compressors to be
/// measured against.
///
/// The output directory gets `tokenizer.json`, `train.tokens`, `train.txt`, `corpus.json` and, unless nothing is held
/// out, `validation.tokens` and `validation.txt`. The text files have the documents after duplicates were removed,
/// with the separator's line (an empty line when there is none) between them.
package struct CorpusPreparation: Sendable {
  package enum TokenizerChoice: Hashable, Sendable {
    /// Read from a `tokenizer.json`; `endOfText` names its end-of-text token, nil takes the first known one.
    case file(String, endOfText: String? = nil)
    /// Trained on the training split.
    case trained(vocabularySize: Int)
  }

  /// What is going on.
  package struct Progress: Hashable, Sendable {
    package enum Stage: String, Hashable, Sendable {
      case reading = "reading documents"
      case learning = "learning the tokenizer"
      case encoding = "encoding documents"
    }

    package let stage: Stage
    package let documents: Int
    /// UTF-8 bytes of the documents so far.
    package let bytes: Int
    /// The length of all input files: what `bytes` comes near to at the end of a stage.
    package let totalBytes: Int
  }

  package var source: DocumentSource
  /// The share of documents that is held out for validation, in [0, 1).
  package var heldOutFraction: Double
  package var tokenizer: TokenizerChoice
  package var output: String
  /// Whether the output directory may hold something; other files in it are left alone.
  package var overwrite: Bool

  package init(
    source: DocumentSource, heldOutFraction: Double, tokenizer: TokenizerChoice, output: String,
    overwrite: Bool = false
  ) {
    self.source = source
    self.heldOutFraction = heldOutFraction
    self.tokenizer = tokenizer
    self.output = output
    self.overwrite = overwrite
  }

  /// Prepares the corpus; the output is whole or absent.
  /// - Parameter progress: called about once a mebibyte of text, and at the end of each stage.
  package func run(progress: (Progress) -> Void = { _ in }) throws(PreparationError) -> PreparationReport {
    var (corpus, pending) = try checkedInputs()
    let directory = try OutputDirectory(output, overwrite: overwrite)
    let pass = PreparationPass(corpus: corpus, directory: directory)
    let summary = try pass.writeTexts(learning: &pending, progress: progress)
    for split in corpus.filledSplits where summary[split].documents == 0 {
      throw .emptySplit(split, documents: summary.documents, fraction: heldOutFraction)
    }
    let tokenizer: Tokenizer
    do {
      tokenizer = try pending.finished(savingTo: directory.stagingPath(of: "tokenizer.json"))
    } catch {
      throw .tokenizer(error)
    }
    if pending.isLearned { progress(pass.progress(.learning, summary)) }
    let (again, tokens) = try pass.writeShards(tokenizer, progress: progress)
    guard again == summary else { throw .inputChanged }
    let report = report(on: corpus, summary, tokens, vocabularySize: tokenizer.vocabularySize)
    do {
      let file = try AtomicFile(directory.stagingPath(of: "corpus.json"))
      try file.write(report.json)
      try file.commit()
    } catch {
      throw .file(error)
    }
    try directory.install()
    return report
  }

  /// Finds what is wrong with the settings and the paths before the first document is read.
  private func checkedInputs() throws(PreparationError) -> (Corpus, PendingTokenizer) {
    let pending: PendingTokenizer
    do {
      pending = try PendingTokenizer(tokenizer)
    } catch {
      throw .tokenizer(error)
    }
    do {
      return (try Corpus(source, heldOutFraction: heldOutFraction), pending)
    } catch {
      throw .document(error)
    }
  }

  private func report(
    on corpus: Corpus, _ summary: CorpusSummary, _ tokens: [CorpusSplit: Int], vocabularySize: Int
  ) -> PreparationReport {
    var path: String?
    var requested: Int?
    switch tokenizer {
    case .file(let file, _): path = file
    case .trained(let size): requested = size
    }
    return PreparationReport(
      formatVersion: 1, source: source, heldOutFraction: heldOutFraction, tokenizerPath: path,
      requestedVocabularySize: requested, vocabularySize: vocabularySize,
      files: corpus.files.files.count, skippedFiles: corpus.files.skipped, blankDocuments: summary.blanks,
      train: PreparationReport.Split(summary.training, tokens: tokens[.training] ?? 0),
      validation: tokens[.validation].map { PreparationReport.Split(summary.validation, tokens: $0) })
  }
}
