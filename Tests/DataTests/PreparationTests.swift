import Foundation
import Testing

@testable import Data

@Suite struct PreparationTests {
  /// 200 different records and 40 copies.
  private func corpus(_ directory: TemporaryDirectory) throws -> DocumentSource {
    let records = (0..<240).map { "the record of number \($0 % 200), and of the 漢字" }
    return DocumentSource(
      paths: [try directory.write("in/f", records.joined(separator: "\n%\n") + "\n")], separator: "%")
  }

  private func preparation(
    _ directory: TemporaryDirectory,
    _ tokenizer: CorpusPreparation.TokenizerChoice = .trained(vocabularySize: 280)
  ) throws -> CorpusPreparation {
    CorpusPreparation(
      source: try corpus(directory), heldOutFraction: 0.1, tokenizer: tokenizer, output: directory.path("out")
    )
  }

  @Test func everythingFitsTogether() throws {
    let directory = try TemporaryDirectory()
    var stages: [CorpusPreparation.Progress] = []
    let report = try preparation(directory).run { stages.append($0) }
    #expect(stages.map(\.stage) == [.reading, .learning, .encoding])
    #expect(stages.allSatisfy { $0.documents == 200 && $0.bytes > 0 && $0.bytes <= $0.totalBytes })
    let names = [
      "corpus.json", "tokenizer.json", "train.tokens", "train.txt", "validation.tokens", "validation.txt",
    ]
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path("out")).sorted() == names)
    let validation = try #require(report.validation)
    #expect(report.train.documents + validation.documents == 200)
    #expect(report.train.duplicates + validation.duplicates == 40)
    #expect(report.vocabularySize == 280 && report.requestedVocabularySize == 280)
    let tokenizer = try Tokenizer(contentsOf: directory.path("out/tokenizer.json"))
    for (name, split) in [("train", report.train), ("validation", validation)] {
      let dataset = try TokenDataset([directory.path("out/\(name).tokens")])
      #expect(dataset.count == split.tokens && dataset.documentCount == split.documents)
      #expect(dataset.textBytes == split.bytes && dataset.vocabularySize == tokenizer.vocabularySize)
      #expect(dataset.endOfText == tokenizer.endOfText)
      let documents = tokens(dataset, 0..<dataset.count).split(separator: dataset.endOfText)
      let text = documents.map { tokenizer.decode($0) }.joined(separator: "\n%\n") + "\n"
      #expect(try text == String(contentsOfFile: directory.path("out/\(name).txt"), encoding: .utf8))
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let json = try Data(contentsOf: URL(fileURLWithPath: directory.path("out/corpus.json")))
    #expect(try decoder.decode(PreparationReport.self, from: json) == report)
  }

  @Test func theTokenizerLearnsFromTrainingTextOnly() throws {
    let directory = try TemporaryDirectory()
    _ = try preparation(directory).run()
    var trainer = try TokenizerTrainer(vocabularySize: 280)
    let text = try String(contentsOfFile: directory.path("out/train.txt"), encoding: .utf8)
    for document in text.dropLast().components(separatedBy: "\n%\n") { trainer.add(document) }
    let json = try Data(contentsOf: URL(fileURLWithPath: directory.path("out/tokenizer.json")))
    #expect(try trainer.tokenizer().json == json)
  }

  @Test func anExistingTokenizerIsUsed() throws {
    let directory = try TemporaryDirectory()
    var preparation = try preparation(directory, .file(Golden.path("gpt2.tokenizer.json")))
    preparation.heldOutFraction = 0
    preparation.source.separator = nil
    let report = try preparation.run()
    #expect(report.validation == nil && report.requestedVocabularySize == nil && report.vocabularySize == 500)
    let names = ["corpus.json", "tokenizer.json", "train.tokens", "train.txt"]
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path("out")).sorted() == names)
    #expect(try TokenDataset([directory.path("out/train.tokens")]).documentCount == 1)
  }

  @Test func overwritingIsAskedFor() throws {
    let directory = try TemporaryDirectory()
    try directory.write("out/mine", "kept")
    var preparation = try preparation(directory)
    #expect(throws: PreparationError.outputNotEmpty(path: directory.path("out"))) { try preparation.run() }
    preparation.overwrite = true
    _ = try preparation.run()
    preparation.heldOutFraction = 0
    _ = try preparation.run()
    let names = ["corpus.json", "mine", "tokenizer.json", "train.tokens", "train.txt"]
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path("out")).sorted() == names)
  }

  /// A killed program leaves its staging directory; no process has the largest number there is.
  @Test(arguments: [2_147_483_647, getpid()], [false, true])
  func whatAKilledProgramLeftIsRemoved(process: pid_t, overwrite: Bool) throws {
    let directory = try TemporaryDirectory()
    try directory.write("out/.partial-\(process)/validation.txt", "stale")
    try directory.write("out/.partial-\(process)/train.tokens.partial-\(process)", "stale")
    var preparation = try preparation(directory)
    (preparation.heldOutFraction, preparation.overwrite) = (0, overwrite)
    _ = try preparation.run()
    let names = ["corpus.json", "tokenizer.json", "train.tokens", "train.txt"]
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path("out")).sorted() == names)
  }

  @Test func aRunningProgramIsLeftAlone() throws {
    let directory = try TemporaryDirectory()
    let other = try Process.run(URL(fileURLWithPath: "/bin/sleep"), arguments: ["100"])
    defer { other.terminate() }
    let theirs = ".partial-\(other.processIdentifier)"
    try directory.write("out/\(theirs)/train.txt", "theirs")
    var preparation = try preparation(directory)
    _ = try preparation.run()
    preparation.overwrite = true
    _ = try preparation.run()
    #expect(
      try String(contentsOfFile: directory.path("out/\(theirs)/train.txt"), encoding: .utf8) == "theirs")
    #expect(FileManager.default.fileExists(atPath: directory.path("out/corpus.json")))
  }

  @Test(arguments: [".partial-", ".partial-mine", ".partial-0", ".partial--5", "partial-2147483647"])
  func otherHiddenNamesAreSomeonesOwn(name: String) throws {
    let directory = try TemporaryDirectory()
    try directory.write("out/\(name)", "kept")
    var preparation = try preparation(directory)
    #expect(throws: PreparationError.outputNotEmpty(path: directory.path("out"))) { try preparation.run() }
    preparation.overwrite = true
    _ = try preparation.run()
    #expect(try String(contentsOfFile: directory.path("out/\(name)"), encoding: .utf8) == "kept")
  }

  /// A refused directory keeps all that it holds, even what was left in it.
  @Test func aRefusalRemovesNothing() throws {
    let directory = try TemporaryDirectory()
    try directory.write("out/mine", "kept")
    try directory.write("out/.partial-2147483647/train.txt", "stale")
    #expect(throws: PreparationError.self) { try preparation(directory).run() }
    #expect(FileManager.default.fileExists(atPath: directory.path("out/.partial-2147483647/train.txt")))
  }

  /// Two programs may begin in one empty directory; the first to finish has it.
  @Test func theSecondToFinishDoesNotOverwrite() throws {
    let directory = try TemporaryDirectory()
    let output = try OutputDirectory(directory.path("out"), overwrite: false)
    try Data("second".utf8).write(to: URL(fileURLWithPath: output.stagingPath(of: "train.txt")))
    try directory.write("out/train.txt", "first")
    #expect(throws: PreparationError.outputNotEmpty(path: directory.path("out"))) { try output.install() }
    #expect(try String(contentsOfFile: directory.path("out/train.txt"), encoding: .utf8) == "first")
  }

  @Test func errorsLeaveNothing() throws {
    let directory = try TemporaryDirectory()
    let good = try preparation(directory)
    var bad = good
    bad.source.paths.append(try directory.write("in/bad", [0x61, 0xFF]))
    let place = DocumentError.notUTF8(path: directory.path("in/bad"), byte: 1)
    #expect(throws: PreparationError.document(place)) { try bad.run() }
    bad = good
    bad.source.paths = ["/nowhere"]
    #expect(throws: PreparationError.document(.file(FileError("read", "/nowhere", code: ENOENT)))) {
      try bad.run()
    }
    bad = good
    bad.tokenizer = .trained(vocabularySize: 10)
    #expect(throws: PreparationError.self) { try bad.run() }
    bad = good
    bad.source.separator = nil
    #expect(throws: PreparationError.self) { try bad.run() }
    #expect(try directory.names() == ["in"])
    bad = good
    bad.output = try directory.write("file", "x")
    #expect(throws: PreparationError.file(FileError("use as a directory", bad.output, code: ENOTDIR))) {
      try bad.run()
    }
    bad.output += "/below"
    #expect(throws: PreparationError.self) { try bad.run() }
  }

  @Test func tooSmallATextReportsItsRealVocabulary() throws {
    let directory = try TemporaryDirectory()
    let report = try preparation(directory, .trained(vocabularySize: 9000)).run()
    #expect(report.requestedVocabularySize == 9000)
    #expect(report.vocabularySize < 400)
    let saved = try Tokenizer(contentsOf: directory.path("out/tokenizer.json"))
    #expect(saved.vocabularySize == report.vocabularySize)
  }
}
