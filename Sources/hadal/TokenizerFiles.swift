internal import Checkpoint
internal import Data
internal import Foundation

/// The files beside weights that say how text becomes tokens and how it is continued; they are copied as they are.
struct TokenizerFiles {
  private static let tokenizerName = "tokenizer.json"
  private static let configurationName = "tokenizer_config.json"
  private static let names = [
    tokenizerName, configurationName, "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json",
  ]

  private let directory: String
  /// Those of `names` that are there.
  private let present: [String]
  /// Nil if there is none, or none that can be read; then `note` says so.
  let tokenizer: Tokenizer?
  let note: String?

  /// - Parameter directory: Where `tokenizer.json` is; nil for none.
  init(in directory: String?) {
    self.directory = directory ?? "."
    present =
      directory.map { directory in
        Self.names.filter { FileManager.default.fileExists(atPath: "\(directory)/\($0)") }
      } ?? []
    guard present.contains(Self.tokenizerName) else {
      (tokenizer, note) = (nil, "there is no tokenizer.json; the result has none either")
      return
    }
    do throws(TokenizerError) {
      (tokenizer, note) = (try Tokenizer(contentsOf: "\(self.directory)/\(Self.tokenizerName)"), nil)
    } catch {
      (tokenizer, note) = (nil, "warning: \(error); copied as it is, but hadal cannot read it")
    }
  }

  func copy(to target: String) throws(CheckpointError) {
    for name in present { try PosixFileSystem().copyFile("\(directory)/\(name)", to: "\(target)/\(name)") }
  }

  /// Adds what transformers' AutoTokenizer needs beside `tokenizer.json`, unless it came along.
  func addConfiguration(to target: String, longest: Int) throws(CheckpointError) {
    guard let tokenizer, !present.contains(Self.configurationName) else { return }
    let end = tokenizer.addedTokens.first { $0.id == tokenizer.endOfText }?.content ?? ""
    let text = """
      {
        "clean_up_tokenization_spaces": false,
        "eos_token": \(jsonString(end)),
        "model_max_length": \(longest),
        "tokenizer_class": "PreTrainedTokenizerFast"
      }

      """
    try PosixFileSystem().createDurably("\(target)/\(Self.configurationName)", Array(text.utf8))
  }
}
