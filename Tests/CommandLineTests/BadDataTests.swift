import Foundation
import Testing

/// Text, corpora, shards and tokenizers that cannot be used.
struct BadDataTests {
  @Test func textThatIsNoneIsRefused() throws {
    let bench = try Workbench()
    try bench.write("empty.txt", "")
    try bench.write("blank.txt", "\n%\n  \n%\n")
    try bench.write("latin1.txt", Array("caf".utf8) + [0xe9, 0x0a])
    try bench.write("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}\n")
    try bench.write("one.txt", "only one document\n")
    try FileManager.default.createDirectory(
      atPath: "\(bench.path)/nothing", withIntermediateDirectories: true)
    func refuse(_ input: String, _ words: String..., options: [String] = []) throws {
      let command = ["prepare", "--input", input, "--separator", "%", "--output", "made"]
      try Refusal(input, command + options, words: words).check(bench)
    }
    try refuse("empty.txt", "the corpus is empty")
    try refuse("blank.txt", "the corpus is empty")
    try refuse("nothing", "no files to read in nothing")
    try refuse("missing.txt", "missing.txt", "No such file")
    try refuse("latin1.txt", "latin1.txt: byte 3: not UTF-8")
    try refuse("bad.jsonl", "bad.jsonl:2")
    try refuse("one.txt", "split is empty: 1 documents", "separator")
    try refuse("one.txt", "10", "259", options: ["--vocab-size", "10"])
    try refuse("one.txt", "1.5", "below 1", options: ["--held-out", "1.5"])
  }

  @Test func aCorpusIsNotOverwrittenUnasked() throws {
    let bench = try Workbench()
    try bench.prepare()
    let again = ["prepare", "--input", "text.txt", "--separator", "%", "--output", "corpus"]
    try Refusal("an old corpus", again, says: "corpus is not empty", "--overwrite").check(bench)
  }

  /// What is done to a file of the corpus, and what is said about it.
  struct Damage: Sendable {
    let file: String
    let words: [String]
    let change: @Sendable (inout [UInt8]) -> Void

    init(_ file: String, says words: String..., change: @escaping @Sendable (inout [UInt8]) -> Void) {
      (self.file, self.words, self.change) = (file, words, change)
    }

    static let all = [
      Damage("train.tokens", says: "20", "truncated") { $0.removeLast(3) },
      Damage("train.tokens", says: "truncated") { $0.removeSubrange(30...) },
      Damage("train.tokens", says: "is not a token shard") { $0 = [] },
      Damage("train.tokens", says: "is not a token shard") { $0[0] ^= 1 },
      Damage("train.tokens", says: "header", "checksum") { $0[41] ^= 1 },
      Damage("train.tokens", says: "checksum of its tokens") { $0[2000] ^= 1 },
      // The little-endian 16-bit token 500, after a header of 72 bytes.
      Damage("train.tokens", says: "token 500 is 320", "the vocabulary has 320 tokens") {
        ($0[72 + 1000], $0[72 + 1001]) = (0x40, 0x01)
      },
      Damage("validation.tokens", says: "checksum of its tokens") { $0[500] ^= 1 },
      Damage("tokenizer.json", says: "is not a tokenizer.json") { $0.removeSubrange(($0.count / 2)...) },
      Damage("tokenizer.json", says: "is not a tokenizer.json") { $0 = [] },
      Damage("tokenizer.json", says: "model") { bytes in
        bytes = Array(String(decoding: bytes, as: UTF8.self).replacing("\"merges\"", with: "\"mergez\"").utf8)
      },
    ]
  }

  @Test func damagedCorporaAreRefused() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.copy("corpus", to: "whole")
    for damage in Damage.all {
      try bench.damage("corpus/\(damage.file)", damage.change)
      let words = ["corpus/\(damage.file)"] + damage.words
      try Refusal("a damaged \(damage.file)", Workbench.training("tiny"), words: words).check(bench)
      try bench.remove("corpus")
      try bench.copy("whole", to: "corpus")
    }
    for file in ["train.tokens", "tokenizer.json"] {
      try bench.remove("corpus/\(file)")
      let words = ["corpus/\(file): no such file", "hadal prepare"]
      try Refusal("no \(file)", Workbench.training("tiny"), words: words).check(bench)
      try bench.copy("whole/\(file)", to: "corpus/\(file)")
    }
    try bench.train("tiny")
  }

  /// Files that are whole, but not for each other.
  @Test func whatDoesNotBelongTogetherIsRefused() throws {
    let bench = try Workbench()
    try bench.prepare()
    func refuse(_ name: String, _ settings: [String], _ words: String...) throws {
      try Refusal(name, Workbench.training("tiny", settings), words: words).check(bench)
    }
    let silent = ["evaluation.every=null"]
    try refuse("no corpus", ["data.directory=nowhere"], "nowhere/train.tokens", "hadal prepare")
    try refuse("a small vocabulary", ["model.vocab_size=300"], "model.vocab_size", "300", "320 tokens")
    try refuse(
      "a small corpus", ["training.sequence_length=20000", "model.max_position_embeddings=20000"], "corpus",
      "less than one row", "sequence_length (20000)")
    let prepare = ["prepare", "--input", "text.txt", "--separator", "%", "--vocab-size", "300"]
    try bench.succeed(prepare + ["--output", "other"])
    try bench.succeed(prepare + ["--held-out", "0", "--output", "all"])
    try refuse("nothing held out", ["data.directory=all"], "evaluation.every", "all has no validation.tokens")
    try refuse(
      "shards of two tokenizers",
      ["data={train: corpus/train.tokens, validation: other/validation.tokens}"], "vocabulary", "320", "300")
    try refuse(
      "another tokenizer", ["data={train: corpus/train.tokens, tokenizer: other/tokenizer.json}"] + silent,
      "other/tokenizer.json", "300", "320")
    try refuse(
      "no tokenizer", ["data={train: corpus/train.tokens, tokenizer: nowhere.json}"] + silent,
      "nowhere.json")

    try bench.train("tiny")
    for corpus in ["other", "other/validation.tokens"] {
      let evaluation = ["evaluate", "--checkpoint", "runs/tiny", "--data", corpus]
      try Refusal("another corpus", evaluation, says: "--data", "300", "320", "--tokenizer").check(bench)
    }
  }
}
