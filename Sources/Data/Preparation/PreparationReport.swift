internal import Foundation

/// What a prepared corpus is made of, and how: the contents of `corpus.json`.
package struct PreparationReport: Hashable, Sendable, Codable {
  package struct Split: Hashable, Sendable, Codable {
    package let documents: Int
    /// UTF-8 bytes of the documents.
    package let bytes: Int
    /// Exact copies that were left out.
    package let duplicates: Int
    /// Tokens in the shard, with the end-of-text tokens.
    package let tokens: Int
  }

  package let formatVersion: Int
  package let source: DocumentSource
  package let heldOutFraction: Double
  /// The file that the tokenizer was read from; nil when it was trained.
  package let tokenizerPath: String?
  /// The vocabulary that was asked for; nil when the tokenizer was read from a file.
  package let requestedVocabularySize: Int?
  /// The vocabulary that came out: a small text may not yield what was asked for.
  package let vocabularySize: Int
  package let files: Int
  package let skippedFiles: Int
  package let blankDocuments: Int
  package let train: Split
  /// Nil when nothing is held out.
  package let validation: Split?

  /// As JSON, keys in snake case and in order.
  package var json: [UInt8] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      return Array(try encoder.encode(self)) + [0x0A]
    } catch {
      preconditionFailure("a report of numbers and strings cannot be encoded: \(error)")
    }
  }
}

extension PreparationReport.Split {
  init(_ summary: SplitSummary, tokens: Int) {
    self.init(
      documents: summary.documents, bytes: summary.bytes, duplicates: summary.duplicates, tokens: tokens)
  }
}
