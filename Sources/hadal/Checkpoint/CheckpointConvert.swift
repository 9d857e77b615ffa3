internal import ArgumentParser
internal import Checkpoint
internal import Foundation
internal import Training

/// `hadal checkpoint convert`: the same checkpoint in another number of files.
struct CheckpointConvert: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert", abstract: "Write a checkpoint again, in another number of files.",
    discussion: """
      Training resumes in any layout of ranks from any number of files: this is for copying, and for software that \
      wants one file. DIR, which must not exist or be empty, gets step-N and the tokenizer's files. A few megabytes at a \
      time are in memory.
      """)

  @Option(help: "A checkpoint, a directory of them or a run: of several, the latest one.") var checkpoint:
    String
  @Option(help: "The directory to make, for --checkpoint and --resume of other commands.") var to: String
  @Option(help: "How many files of like size to make.") var files = 1

  func run() throws {
    guard 1...99_999 ~= files else {
      throw OptionError(option: "--files", reason: "is \(files), not 1 to 99999")
    }
    let directory = try StagedDirectory(to)
    let opened = try OpenedCheckpoint(checkpoint, hashing: .all)
    let tokenizer = TokenizerFiles(
      in: (try? opened.tokenizerPath()).map { URL(fileURLWithPath: $0).deletingLastPathComponent().path })
    var length = 0
    try directory.fill { (staging) throws(CheckpointError) in
      length = try CheckpointStore(directory: staging).save(copyOf: opened.stored, files: files).length
      try tokenizer.copy(to: staging)
    }
    let step = opened.stored.manifest.step
    print(
      "\(to)/step-\(step): \(ProgressText.memory(bytes: length)) in \(files) file\(files == 1 ? "" : "s")")
  }
}
