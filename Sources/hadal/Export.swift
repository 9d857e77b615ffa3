internal import ArgumentParser
internal import Checkpoint
internal import Data
internal import Foundation
internal import Model
internal import Tensors
internal import Training

/// `hadal export`: a Hugging Face directory from a checkpoint.
struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a Hugging Face directory of a checkpoint.",
    discussion: """
      DIR, which must not exist or be empty, gets config.json, model.safetensors (above 5 GB in shards with an index) \
      and the tokenizer's files. fp8 is the format of the released DeepSeek-V3: E4M3 codes with a float32 scale for \
      each 128 x 128 for the linear layers of blocks, bfloat16 for the rest. Router biases are float32 in every \
      format. One tensor at a time is in memory.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case float32, bfloat16, fp8 }

  @Option(help: "A checkpoint (step-N), a directory of them or a run: of several, the latest one.")
  var checkpoint: String

  @Option(help: "The directory to make.") var to: String

  @Option(help: "What weights are stored in; only float32 loses nothing.") var dtype = Format.float32

  func run() throws {
    let directory = try StagedDirectory(to)
    let opened = try OpenedCheckpoint(checkpoint, hashing: .all)
    let tokenizer = TokenizerFiles(
      in: (try? opened.tokenizerPath()).map { URL(fileURLWithPath: $0).deletingLastPathComponent().path })
    let model = try opened.run.model.resolved(tokenizerVocabSize: tokenizer.tokenizer?.vocabularySize)
    let weights = ExportedWeights(
      opened.stored, model, format: dtype, on: try ProcessDevice.make(threads: opened.run.training.threads))
    let writer = HuggingFaceWriter(try weights.records())
    let configuration = HuggingFaceConfiguration(
      model, format: dtype, endOfText: tokenizer.tokenizer.map { Int($0.endOfText) })
    try directory.fill { (staging) throws(CheckpointError) in
      try writer.write(to: staging, bytes: weights.write)
      try tokenizer.copy(to: staging)
      try tokenizer.addConfiguration(to: staging, longest: model.maxPositionEmbeddings)
      try PosixFileSystem().createDurably("\(staging)/config.json", Array(configuration.json.utf8))
    }
    if let note = tokenizer.note { Console.note(note) }
    for warning in configuration.warnings { Console.note("warning: \(warning)") }
    let files = writer.fileNames.count
    print("\(to): \(writer.byteCount) bytes of weights in \(files) file\(files == 1 ? "" : "s")")
  }
}
