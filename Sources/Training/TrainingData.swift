package import Data
internal import Foundation
internal import Model

/// The data of a run, opened and checked: what to train on, what to evaluate on, and the tokenizer's file.
package struct TrainingData: Sendable {
  /// nil for synthetic data.
  package let training: TokenDataset?
  package let validation: TokenDataset?
  package let tokenizerPath: String?

  /// Opens what the section names.
  /// - Throws: `TrainingError.missingCorpus`; `ShardError` or `TokenizerError` for a file that is missing or damaged, or
  ///   does not belong to the others.
  package init(_ section: DataSection) throws {
    guard !section.synthetic else {
      (training, validation, tokenizerPath) = (nil, nil, nil)
      return
    }
    let files = try Self.files(section)
    let training = try TokenDataset(files.train)
    validation = files.validation.isEmpty ? nil : try TokenDataset(files.validation)
    if let path = files.validation.first, let validation {
      let (size, end) = (validation.vocabularySize, validation.endOfText)
      try Self.check(path, vocabularySize: size, endOfText: end, against: training, files.train[0])
    }
    if let path = files.tokenizer {
      let tokenizer = try Tokenizer(contentsOf: path)
      let (size, end) = (tokenizer.vocabularySize, tokenizer.endOfText)
      try Self.check(path, vocabularySize: size, endOfText: end, against: training, files.train[0])
    }
    (self.training, tokenizerPath) = (training, files.tokenizer)
  }

  /// The paths of a section that is not synthetic.
  private static func files(
    _ section: DataSection
  ) throws(TrainingError) -> (train: [String], validation: [String], tokenizer: String?) {
    guard let directory = section.directory else {
      return (section.train, section.validation, section.tokenizer)
    }
    let file = { (name: String) in "\(directory)/\(name)" }
    for (name, need) in [("train.tokens", "training tokens"), ("tokenizer.json", "the tokenizer")] {
      guard FileManager.default.fileExists(atPath: file(name)) else {
        throw .missingCorpus(path: file(name), need: need)
      }
    }
    let heldOut = [file("validation.tokens")].filter(FileManager.default.fileExists)
    return ([file("train.tokens")], heldOut, file("tokenizer.json"))
  }

  /// Ids mean something only in the vocabulary that they were made with.
  private static func check(
    _ path: String, vocabularySize: Int, endOfText: Int32, against training: TokenDataset, _ other: String
  ) throws(ShardError) {
    let fields = [
      ("vocabulary size", vocabularySize, training.vocabularySize),
      ("end-of-text id", Int(endOfText), Int(training.endOfText)),
    ]
    for (field, value, expected) in fields where value != expected {
      throw .mismatch(path: path, other: other, field: field, values: [value, expected])
    }
  }

  /// UTF-8 bytes of text that one training token stands for; nil for synthetic data.
  package var bytesPerToken: Double? {
    training.map { Double($0.textBytes) / Double($0.count) }
  }

  /// Micro-batches for a configuration.
  /// - Throws: `TrainingError.corpusTooSmall`; `ConfigurationError` when a token is outside of the vocabulary.
  func source(_ configuration: RunConfiguration, model: ModelConfiguration) throws -> BatchSource {
    let (section, seed) = (configuration.training, UInt64(configuration.training.seed))
    guard let training else {
      return .synthetic(vocabulary: model.vocabSize, length: section.sequenceLength, seed: seed)
    }
    let rows = RowSet(training, sequenceLength: section.sequenceLength)
    guard rows.wholeCount > 0 else {
      let path = configuration.data.directory ?? configuration.data.train.joined(separator: ", ")
      throw TrainingError.corpusTooSmall(
        path: path, tokens: training.count, sequenceLength: section.sequenceLength)
    }
    return .rows(
      rows, SampleOrder(seed: seed, rows: rows.wholeCount), boundaries: section.documentBoundaries)
  }
}
