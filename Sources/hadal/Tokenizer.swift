internal import ArgumentParser
internal import Data
internal import Foundation
internal import Training

/// `hadal tokenizer`: makes and uses tokenizers.
struct TokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer", abstract: "Trains a tokenizer; encodes and decodes with one.",
    subcommands: [TokenizerTrain.self, TokenizerEncode.self, TokenizerDecode.self])
}

/// `hadal tokenizer train`
struct TokenizerTrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Learns a byte-level BPE tokenizer from text.")

  @OptionGroup var documents: DocumentOptions

  @Option(help: "Tokens in all, with 3 special ones and the 256 bytes.") var vocabSize: Int

  @Option(help: "The tokenizer.json to write.") var output: String

  @Flag(help: "Replace the file if it exists.") var overwrite = false

  func run() throws {
    guard overwrite || !FileManager.default.fileExists(atPath: output) else {
      throw OptionError(option: "--output", reason: "\(output) exists; add --overwrite to replace it")
    }
    var trainer = try TokenizerTrainer(vocabularySize: vocabSize)
    var reader = try Corpus(documents.source, heldOutFraction: 0).makeReader()
    var progress = StatusLine()
    while let (text, _) = try reader.next() {
      trainer.add(text)
      if reader.summary.documents.isMultiple(of: 1000) {
        let size = ProgressText.memory(bytes: reader.summary.bytes)
        progress.show("\(reader.summary.documents) documents, \(size)")
      }
    }
    progress.show("learning the tokenizer")
    let tokenizer = try trainer.tokenizer()
    progress.clear()
    try tokenizer.save(to: output)
    let size = tokenizer.vocabularySize
    let note =
      size == vocabSize ? "" : " (\(vocabSize) were asked for, but no other pair of tokens occurs twice)"
    print(
      "\(output): \(size) tokens\(note) from \(reader.summary.documents) documents, "
        + ProgressText.memory(bytes: reader.summary.bytes))
  }
}

/// `hadal tokenizer encode`
struct TokenizerEncode: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "encode", abstract: "Text to token ids.")

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

  @Option(help: "The tokenizer.json.") var tokenizer: String

  @Option(help: "A file of UTF-8 text; without, stdin.") var input: String?

  @Option(help: "text: ids with spaces between them; json: a list.") var format = Format.text

  @Flag(help: "Text that looks like a special token is one.") var special = false

  func run() throws {
    let tokenizer = try Tokenizer(contentsOf: tokenizer)
    let (bytes, name) = try CommandInput.read(input)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw OptionError(option: "--input", reason: "\(name) is not UTF-8 text")
    }
    let ids = tokenizer.encode(text, allowSpecial: special).map(String.init)
    switch format {
    case .text: print(ids.joined(separator: " "))
    case .json: print("[" + ids.joined(separator: ",") + "]")
    }
  }
}

/// `hadal tokenizer decode`
struct TokenizerDecode: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode", abstract: "Token ids to text.",
    discussion: "Ids stand in a JSON list, or with spaces, commas or line ends between them.")

  @Option(help: "The tokenizer.json.") var tokenizer: String

  @Option(help: "A file of ids; without, stdin.") var input: String?

  func run() throws {
    let tokenizer = try Tokenizer(contentsOf: tokenizer)
    let (bytes, name) = try CommandInput.read(input)
    let ids = try Self.ids(bytes, name: name, vocabularySize: tokenizer.vocabularySize)
    Console.write(tokenizer.decodeBytes(ids))
  }

  /// - Throws: `OptionError` that names the first item that is no id of the vocabulary.
  private static func ids(_ bytes: [UInt8], name: String, vocabularySize: Int) throws(OptionError) -> [Int32]
  {
    var list = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)[...]
    if list.hasPrefix("["), list.hasSuffix("]") { list = list.dropFirst().dropLast() }
    var ids: [Int32] = []
    for item in list.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
      guard let id = Int32(item), id >= 0, id < vocabularySize else {
        throw OptionError(
          option: "--input",
          reason: "\(name): item \(ids.count + 1) is '\(item.prefix(40))', not a token id from 0 to "
            + "\(vocabularySize - 1)")
      }
      ids.append(id)
    }
    return ids
  }
}

/// The bytes that a command works on.
enum CommandInput {
  /// A file, or stdin, with the name to use in messages.
  /// - Throws: `FileError`.
  static func read(_ path: String?) throws(FileError) -> (bytes: [UInt8], name: String) {
    guard let path else { return ([UInt8](FileHandle.standardInput.readDataToEndOfFile()), "stdin") }
    return ([UInt8](try MappedFile.bytes(of: path)), path)
  }
}
