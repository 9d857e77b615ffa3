internal import ArgumentParser
internal import Autograd
internal import Checkpoint
internal import Data
internal import Foundation
internal import Generation
internal import Model
internal import Tensors
internal import Training

/// `hadal evaluate`: loss, perplexity and bits per byte of held-out text.
struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure a checkpoint on held-out text.",
    discussion: """
      Each token is predicted once, in rows of the run's sequence length. Bits per byte counts the UTF-8 bytes of \
      the documents; the tokens that end documents are paid for as well. MTP acceptance is how often the first \
      module's most likely token is the one that the main head finds most likely one position later.
      """)

  @Option(name: .long, help: "A checkpoint (step-N), a directory of checkpoints, or a run's directory.")
  var checkpoint: String

  @Option(name: .long, help: "A token shard, or a corpus that `hadal prepare` made; else the run's own.")
  var data: String?

  @Flag(name: .long, help: "Print one JSON object.")
  var json = false

  func run() throws {
    let opened = try OpenedCheckpoint(checkpoint, hashing: .none)
    let run = opened.run
    let dataset = try heldOut(run)
    try checkTokenizer(dataset, opened)
    let model = try opened.model(
      tokens: dataset.vocabularySize, endOfText: dataset.endOfText, precision: run.precision,
      multiTokenPrediction: true, threads: run.training.threads)
    let evaluator = Evaluator(
      model, dataset, sequenceLength: run.training.sequenceLength, batch: run.training.microBatchSize,
      boundaries: run.training.documentBoundaries)
    let result = evaluator.run(acceptance: true)
    print(json ? result.json : result.text)
  }

  /// Ids mean something only in the vocabulary that the model was trained with; a run keeps its tokenizer.
  private func checkTokenizer(_ dataset: TokenDataset, _ opened: OpenedCheckpoint) throws {
    guard let path = try? opened.tokenizerPath() else { return }
    let tokens = try Tokenizer(contentsOf: path).vocabularySize
    guard tokens == dataset.vocabularySize else {
      throw OptionError(
        option: "--data",
        reason: "it was prepared with a vocabulary of \(dataset.vocabularySize) tokens, the model was "
          + "trained with \(tokens); prepare it with --tokenizer \(path)")
    }
  }

  private func heldOut(_ run: RunConfiguration) throws -> TokenDataset {
    var section = run.data
    if let data {
      var isDirectory: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: data, isDirectory: &isDirectory)
      guard isDirectory.boolValue else { return try TokenDataset([data]) }
      section = DataSection()
      section.directory = data
    }
    guard let validation = try TrainingData(section).validation else {
      throw OptionError(
        option: "--data",
        reason: "the run has no validation data of its own; name a token shard or a corpus")
    }
    return validation
  }
}

extension EvaluationResult {
  fileprivate var rows: [(key: String, label: String, value: Double)] {
    var rows = [
      ("tokens", "tokens", Double(tokens)), ("bytes", "bytes", bytes), ("loss", "loss (nats/token)", loss),
      ("perplexity", "perplexity", perplexity), ("bits_per_byte", "bits per byte", bitsPerByte),
    ]
    rows += multiTokenLosses.enumerated().map {
      ("loss_mtp_\($0 + 1)", "MTP depth \($0 + 1) loss (nats/token)", $1)
    }
    if let acceptance { rows.append(("mtp_acceptance", "MTP acceptance", acceptance)) }
    return rows
  }

  fileprivate var text: String {
    rows.map { row in
      row.label.padding(toLength: 32, withPad: " ", startingAt: 0) + String(format: "%.6g", row.value)
    }.joined(separator: "\n")
  }

  fileprivate var json: String {
    let values = rows.map { row in
      let isCount = row.key == "tokens" || row.key == "bytes"
      return "\"\(row.key)\": " + (isCount ? "\(Int(row.value.rounded()))" : "\(row.value)")
    }
    return "{" + values.joined(separator: ", ") + "}"
  }
}
