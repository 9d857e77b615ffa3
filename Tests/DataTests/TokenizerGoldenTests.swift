import Foundation
import Testing

@testable import Data

/// Against the `tokenizers` package: the same ids for the same texts.
@Suite struct TokenizerGoldenTests {
  private struct Cases: Decodable {
    struct Case: Decodable {
      let text: String
      let ids: [Int32]
      let withSpecial: [Int32]
      /// What the first half of the ids decodes to; it may cut a character in two.
      let half: String
    }

    let cases: [Case]
  }

  @Test(arguments: [("deepseek", "<｜end▁of▁sentence｜>"), ("gpt2", "<|endoftext|>")])
  func idsAndTextsAgree(name: String, endOfText: String) throws {
    let tokenizer = try Tokenizer(contentsOf: Golden.path("\(name).tokenizer.json"))
    #expect(tokenizer.endOfText == tokenizer.id(ofAddedToken: endOfText))
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let golden = try decoder.decode(Cases.self, from: Golden.data("\(name).cases.json"))
    #expect(golden.cases.count >= 30)
    var encoder = TokenEncoder(tokenizer)
    for item in golden.cases {
      #expect(tokenizer.encode(item.text) == item.ids, "\(item.text.debugDescription)")
      #expect(encoder.encode(item.text) == item.ids, "with remembered words: \(item.text.debugDescription)")
      #expect(
        encoder.encode(item.text, allowSpecial: true) == item.withSpecial, "\(item.text.debugDescription)")
      // Compared as bytes: Unicode calls some different texts equal.
      #expect(tokenizer.decodeBytes(item.ids) == Array(item.text.utf8))
      #expect(tokenizer.decode(item.ids.prefix(item.ids.count / 2)).utf8.elementsEqual(item.half.utf8))
    }
  }

  @Test func trainedVocabularyAndMergesAgree() throws {
    var trainer = try TokenizerTrainer(vocabularySize: 700)
    for document in try Golden.documents() { trainer.add(document) }
    let ours = try model(trainer.tokenizer().json)
    let theirs = try model(Golden.data("deepseek.tokenizer.json"))
    #expect(ours.vocabulary.count == 700)
    #expect(ours.vocabulary == theirs.vocabulary)
    #expect(ours.merges == theirs.merges)
  }

  private func model(_ json: Data) throws -> (vocabulary: [String: Int], merges: [[String]]) {
    let file = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
    let model = try #require(file["model"] as? [String: Any])
    let merges = try #require(model["merges"] as? [Any]).map { entry in
      (entry as? String)?.components(separatedBy: " ") ?? entry as? [String] ?? []
    }
    return (try #require(model["vocab"] as? [String: Int]), merges)
  }
}
