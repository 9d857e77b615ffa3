internal import ArgumentParser
internal import Data
internal import Foundation
internal import Model
internal import Training

/// `hadal bench`: what this machine reaches, and what it could.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Measures this machine: matrix products, attention, memory, expert exchange, a whole training step.",
    discussion: """
      Results are checked before they are timed: a wrong one is named, and ends the command with exit code 1. \
      Times are medians of at least 7 runs. A ceiling is what a loop that does nothing else reaches on this \
      machine, at its best before or after: multiply-adds, or bytes of arrays of that size. The environment variable \
      HADAL_ISA takes a lower instruction-set level. Nothing is written but the report on stdout. \
      The \
      last one takes no times: it studies what FP8 products lose when their sums keep few bits.
      """,
    subcommands: [
      BenchGEMM.self, BenchAttention.self, BenchMemory.self, BenchExchange.self, BenchStep.self,
      BenchAccumulation.self,
    ])
}

/// The configuration that a benchmark takes its sizes from.
struct BenchedRun: ParsableArguments {
  @Argument(help: "The run's configuration.", completion: .file(extensions: ["yaml", "yml"]))
  var config: String

  @Option(name: .long, help: "Replace a value of the configuration; may be repeated.")
  var set: [String] = []

  /// - Throws: `ConfigurationError`.
  func load() throws -> RunConfiguration { try RunConfiguration.load(path: config, overrides: set) }
}

extension RunConfiguration {
  /// The model; the tokenizer is only looked for where the vocabulary is its own.
  /// - Throws: `ConfigurationError`, and what opening the data throws.
  func benchedModel() throws -> ModelConfiguration {
    guard model.vocabSize == nil else { return try model.resolved(tokenizerVocabSize: nil) }
    let tokens = try TrainingData(data).training
    return try model.resolved(
      tokenizerVocabSize: tokens?.vocabularySize, endOfText: tokens?.endOfText)
  }
}

/// A report as one JSON object; keys with underscores, sorted.
enum BenchJSON {
  static func text(_ report: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(report), as: UTF8.self)
  }
}

/// What would end the process without a word, if it were tried.
enum BenchMemoryCheck {
  /// - Throws: `OptionError` when `bytes` are more than this process may use.
  static func run(_ what: String, bytes: Int) throws(OptionError) {
    let available = MemoryCheck.limit()
    guard bytes > available else { return }
    throw OptionError(
      option: "config",
      reason: "\(what) needs \(ProgressText.memory(bytes: bytes)); this process may use "
        + "\(ProgressText.memory(bytes: available)). Take a smaller model or micro-batch, for example with --set"
    )
  }
}
