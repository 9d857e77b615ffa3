internal import Foundation

/// The files of a run beside its checkpoints: the resolved configuration and the tokenizer.
package struct RunDirectory {
  package let path: String

  /// Makes the directory and writes `config.yaml` and `tokenizer.json` into it.
  /// - Throws: `TrainingError.cannotWrite`.
  package init(_ trainer: Trainer) throws(TrainingError) {
    path = trainer.configuration.runDirectory
    try Self.perform(path) { [path] in
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    try write(Data(trainer.configuration.yaml().utf8), to: "config.yaml")
    guard let tokenizer = trainer.data.tokenizerPath else { return }
    guard let text = FileManager.default.contents(atPath: tokenizer) else {
      throw .missingCorpus(path: tokenizer, need: "the tokenizer")
    }
    try write(text, to: "tokenizer.json")
  }

  private func write(_ data: Data, to name: String) throws(TrainingError) {
    let file = "\(path)/\(name)"
    try Self.perform(file) { try data.write(to: URL(fileURLWithPath: file), options: .atomic) }
  }

  private static func perform(_ path: String, _ action: () throws -> Void) throws(TrainingError) {
    do { try action() } catch {
      throw .cannotWrite(path: path, reason: (error as NSError).localizedDescription)
    }
  }
}
