internal import ArgumentParser
internal import Data
internal import Foundation
internal import Training

/// `hadal prepare`: text to tokenizer and token shards.
struct Prepare: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a corpus for training: tokenizer, token shards, and the held-out text.",
    discussion: """
      Exact duplicates of documents are left out. Which documents are held out depends on their text alone.
      """)

  @OptionGroup var documents: DocumentOptions

  @Option(help: "Directory for the corpus; made if missing.") var output: String

  @Option(help: "Share of the documents to hold out for validation, from 0 to below 1.")
  var heldOut = 0.05

  @Option(help: "Train a tokenizer with this many tokens on the training split. (default: 4096)")
  var vocabSize: Int?

  @Option(help: "Use this tokenizer.json instead of training one.") var tokenizer: String?

  @Flag(help: "Replace a corpus that the directory already holds.") var overwrite = false

  func validate() throws {
    if vocabSize != nil, tokenizer != nil {
      throw ValidationError("give --vocab-size or --tokenizer, not both")
    }
  }

  func run() throws {
    let choice: CorpusPreparation.TokenizerChoice =
      tokenizer.map { .file($0) } ?? .trained(vocabularySize: vocabSize ?? 4096)
    let preparation = CorpusPreparation(
      source: documents.source, heldOutFraction: heldOut, tokenizer: choice, output: output,
      overwrite: overwrite)
    var progress = StatusLine()
    let report = try run(preparation) { state in
      let size = ProgressText.memory(bytes: state.bytes)
      progress.show("\(state.stage.rawValue): \(state.documents) documents, \(size)")
    }
    progress.clear()
    print(summary(report))
  }

  /// Says how an option can help where it can.
  private func run(
    _ preparation: CorpusPreparation, progress: (CorpusPreparation.Progress) -> Void
  ) throws -> PreparationReport {
    do throws(PreparationError) {
      return try preparation.run(progress: progress)
    } catch .outputNotEmpty(let path) {
      throw OptionError(
        option: "--output", reason: "\(path) is not empty; choose another directory or add --overwrite")
    }
  }

  private func summary(_ report: PreparationReport) -> String {
    var lines = ["\(output): \(report.files) files read, \(report.skippedFiles) skipped"]
    lines.append("  split       documents  duplicates        bytes       tokens  bytes/token")
    for (name, split) in [("train", report.train), ("validation", report.validation)] {
      guard let split else { continue }
      let ratio = String(format: "%.3f", Double(split.bytes) / Double(max(split.tokens, 1)))
      let columns = [
        (split.documents.description, 11), (split.duplicates.description, 12), (split.bytes.description, 13),
        (split.tokens.description, 13), (ratio, 13),
      ]
      let cells = columns.map { String(repeating: " ", count: max(0, $1 - $0.count)) + $0 }
      lines.append("  " + name.padding(toLength: 10, withPad: " ", startingAt: 0) + cells.joined())
    }
    lines.append("  vocabulary: \(report.vocabularySize) tokens" + vocabularyNote(report))
    if report.blankDocuments > 0 {
      lines.append("  \(report.blankDocuments) documents without text left out")
    }
    return lines.joined(separator: "\n")
  }

  /// A small text may not have as many frequent pairs as were asked for.
  private func vocabularyNote(_ report: PreparationReport) -> String {
    guard let asked = report.requestedVocabularySize, asked != report.vocabularySize else { return "" }
    return " (\(asked) were asked for, but no other pair of tokens occurs twice)"
  }
}

/// Where documents come from, for every command that reads them.
struct DocumentOptions: ParsableArguments {
  @Option(
    name: .customLong("input"), parsing: .upToNextOption,
    help: "Text or .jsonl files, and directories that are read with all below them.")
  var inputs: [String]

  @Option(help: "The line between two documents of a text file; without, each file is one document.")
  var separator: String?

  @Option(
    parsing: .upToNextOption, help: "Extensions of files in directories that are not text (such as dat).")
  var skipExtension: [String] = []

  @Option(help: "The field of a .jsonl object that holds the document.") var jsonlField = "text"

  var source: DocumentSource {
    DocumentSource(
      paths: inputs, separator: separator, textField: jsonlField,
      skippedExtensions: skipExtension.map { $0.hasPrefix(".") ? String($0.dropFirst()) : $0 })
  }
}
