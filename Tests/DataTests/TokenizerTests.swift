import Foundation
import Testing

@testable import Data

@Suite struct TokenizerTests {
  @Test func savedFileIsTheSame() throws {
    let directory = try TemporaryDirectory()
    let tokenizer = try Tokenizer(contentsOf: Golden.path("deepseek.tokenizer.json"))
    try tokenizer.save(to: directory.path("t.json"))
    #expect(try Data(contentsOf: URL(fileURLWithPath: directory.path("t.json"))) == tokenizer.json)
    #expect(try directory.names() == ["t.json"])
  }

  @Test func mergesAsTheDefinitionSays() throws {
    let tokenizer = try Tokenizer(contentsOf: Golden.path("deepseek.tokenizer.json"))
    let contents = tokenizer.contents
    var generator = SystemRandomNumberGenerator()
    var merger = WordMerger()
    for _ in 0..<300 {
      let word = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
        Array("the ofand".utf8).randomElement()!
      }
      var found: [Int32] = []
      word.withUnsafeBufferPointer {
        merger.merge($0, byteTokens: contents.byteTokens, merges: contents.merges, into: &found)
      }
      #expect(found == mergedNaively(word, contents), "\(word)")
    }
  }

  /// Looks for the earliest merge over and over.
  private func mergedNaively(_ word: [UInt8], _ contents: Tokenizer.Contents) -> [Int32] {
    var tokens = word.map { contents.byteTokens[Int($0)] }
    while true {
      let merges = zip(tokens, tokens.dropFirst()).map { contents.merges[$0, $1] }
      guard let rank = merges.compactMap({ $0?.rank }).min() else { return tokens }
      let place = merges.firstIndex { $0?.rank == rank }!
      tokens.replaceSubrange(place...place + 1, with: [merges[place]!.token])
    }
  }

  /// A merger that looks through the whole word for each merge takes many minutes.
  @Test(.timeLimit(.minutes(5))) func aWordOfAnyLengthIsEncoded() throws {
    let tokenizer = try Tokenizer(contentsOf: Golden.path("deepseek.tokenizer.json"))
    let word = String(repeating: "the", count: 20_000)
    let ids = tokenizer.encode(word)
    #expect(ids.count < word.utf8.count)
    #expect(tokenizer.decode(ids) == word)
  }

  @Test func idsWithoutATokenAreVisible() throws {
    let tokenizer = try Tokenizer(contentsOf: Golden.path("deepseek.tokenizer.json"))
    #expect(tokenizer.decode([Int32(tokenizer.vocabularySize) + 5]) == "\u{FFFD}")
    #expect(tokenizer.id(ofAddedToken: "nothing") == nil)
    #expect(tokenizer.addedTokens.map(\.id) == [0, 1, 2])
  }

  @Test func theLongestAddedTokenWins() throws {
    let tokenizer = try Tokenizer(contentsOf: Golden.path("gpt2.tokenizer.json"))
    let long = try #require(tokenizer.id(ofAddedToken: "<|endoftext|>"))
    let short = try #require(tokenizer.id(ofAddedToken: "<|end"))
    #expect(tokenizer.encode("<|endoftext|><|end", allowSpecial: true) == [long, short])
  }

  @Test func endOfTextCanBeNamed() throws {
    let path = Golden.path("gpt2.tokenizer.json")
    let named = try Tokenizer(contentsOf: path, endOfText: "<|end")
    #expect(named.endOfText == named.id(ofAddedToken: "<|end"))
    #expect(throws: TokenizerError.noEndOfText(path: path, candidates: ["</x>"])) {
      try Tokenizer(contentsOf: path, endOfText: "</x>")
    }
  }
}

@Suite struct TokenizerTrainerTests {
  @Test func aSmallTextYieldsFewerTokens() throws {
    var trainer = try TokenizerTrainer(vocabularySize: 5000)
    trainer.add("aaaa aaaa aaaa")
    let tokenizer = try trainer.tokenizer()
    // aa, aaaa, and the two words with a space before them are all there is.
    #expect(tokenizer.vocabularySize < 270)
    #expect(tokenizer.vocabularySize > TokenizerTrainer.smallestVocabulary)
    #expect(tokenizer.decode(tokenizer.encode("aaaa zß漢😀\r\n")) == "aaaa zß漢😀\r\n")
    #expect(tokenizer.endOfText == 1)
    #expect(tokenizer.addedTokens.map(\.content) == TokenizerTrainer.specialTokens)
  }

  @Test func onlyBytesIsTheSmallestVocabulary() throws {
    var trainer = try TokenizerTrainer(vocabularySize: 259)
    trainer.add("hello hello hello")
    #expect(try trainer.tokenizer().vocabularySize == 259)
    for size in [-1, 0, 258, 1 << 30] {
      #expect(throws: TokenizerError.self) { try TokenizerTrainer(vocabularySize: size) }
    }
  }

  @Test func theOrderOfDocumentsDoesNotMatter() throws {
    let documents = try Golden.documents()
    var forwards = try TokenizerTrainer(vocabularySize: 500)
    var backwards = try TokenizerTrainer(vocabularySize: 500)
    for document in documents { forwards.add(document) }
    for document in documents.reversed() { backwards.add(document) }
    #expect(try forwards.tokenizer().json == backwards.tokenizer().json)
  }

  @Test func textThatLooksLikeASpecialTokenIsText() throws {
    var trainer = try TokenizerTrainer(vocabularySize: 400)
    let text = String(repeating: TokenizerTrainer.endOfText + " ", count: 20)
    trainer.add(text)
    let tokenizer = try trainer.tokenizer()
    #expect(!tokenizer.encode(text).contains(tokenizer.endOfText))
    #expect(tokenizer.encode(text, allowSpecial: true).filter { $0 == tokenizer.endOfText }.count == 20)
  }
}
