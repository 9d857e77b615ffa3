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
  /// - Throws: `TrainingError.missingCorpus`, or `ShardError` for a file that is damaged.
  package init(_ section: DataSection) throws {
    guard !section.synthetic else {
      (training, validation, tokenizerPath) = (nil, nil, nil)
      return
    }
    guard let directory = section.directory else {
      training = try TokenDataset(section.train)
      validation = section.validation.isEmpty ? nil : try TokenDataset(section.validation)
      tokenizerPath = section.tokenizer
      return
    }
    let file = { (name: String) in "\(directory)/\(name)" }
    for (name, need) in [("train.tokens", "training tokens"), ("tokenizer.json", "the tokenizer")] {
      guard FileManager.default.fileExists(atPath: file(name)) else {
        throw TrainingError.missingCorpus(path: file(name), need: need)
      }
    }
    training = try TokenDataset([file("train.tokens")])
    let heldOut = file("validation.tokens")
    validation = FileManager.default.fileExists(atPath: heldOut) ? try TokenDataset([heldOut]) : nil
    tokenizerPath = file("tokenizer.json")
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
      rows, SampleOrder(seed: seed, rows: rows.wholeCount), documents: section.mtpDocumentBoundaries)
  }
}
