internal import ArgumentParser
internal import Checkpoint
internal import Data
internal import Generation
internal import Model
internal import Tensors
internal import Training

/// `hadal generate`: continues a text with the model of a checkpoint.
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continues a text with a trained model, in float32.",
    discussion: "An empty prompt begins a new document. The same seed gives the same text.")

  @Option(help: "A checkpoint (step-N), a directory of them or a run: of several, the latest one.")
  var checkpoint: String

  @Option(help: "The text to continue.") var prompt: String

  @Option(help: "The most tokens to generate.") var tokens = 256

  @Option(help: "0: always the most probable token; 1: as probable as the model says.")
  var temperature = 0.8

  @Option(help: "Choose among the fewest tokens that have this share of the probability together.")
  var topP = 0.95

  @Option(help: "What the choices depend on.") var seed: UInt64 = 0

  @Option(help: "The tokenizer.json, if neither checkpoint nor run has one.") var tokenizer: String?

  func run() throws {
    let sampler = try Sampler(temperature: temperature, topP: topP, seed: seed)
    let opened = try OpenedCheckpoint(checkpoint, hashing: .none)
    let tokenizer = try Tokenizer(contentsOf: self.tokenizer ?? opened.tokenizerPath())
    let model = try opened.model(
      tokens: tokenizer.vocabularySize, precision: PrecisionSection(mode: .float32),
      multiTokenPrediction: false)
    let generator = try Generator(model, tokenizer: tokenizer, sampler: sampler)
    // Not before there is something to continue it with: a prompt that is refused is not repeated.
    var beginning = prompt
    let output = try generator.generate(prompt, limit: tokens) { piece in
      Console.write((beginning + piece).utf8)
      beginning = ""
    }
    Console.write((beginning + "\n").utf8)
    if case .contextFull(let context) = output.ending {
      Console.note("stopped after \(output.tokens.count) tokens: the model's context of \(context) is full")
    }
  }
}
