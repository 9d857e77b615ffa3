import Data
import Generation
import Model
import Tensors
import Testing

struct GeneratorTests {
  /// What greedy generation must give, one full forward pass a token.
  private func greedy(_ model: DeepSeek, _ start: [Int32], end: Int32, limit: Int) -> [Int32] {
    var ids = start
    while ids.count < start.count + limit {
      let logits = fullLogits(model, ids)[ids.count - 1]
      let best = Int32(logits.firstIndex(of: logits.max()!)!)
      if best == end { break }
      ids.append(best)
    }
    return Array(ids[start.count...])
  }

  @Test(arguments: SmallModel.allCases, ["", "the cat"])
  func greedyIsTheArgumentOfTheMaximum(kind: SmallModel, prompt: String) throws {
    let (model, tokenizer) = (try kind.model(), try smallTokenizer())
    let output = try Generator(model, tokenizer: tokenizer, sampler: Sampler()).generate(prompt, limit: 12)
    let start = [tokenizer.endOfText] + tokenizer.encode(prompt)
    let expected = greedy(model, start, end: tokenizer.endOfText, limit: 12)
    #expect(output.tokens == expected)
    #expect(output.text == tokenizer.decode(expected))
    #expect(output.ending == (expected.count < 12 ? .endOfText : .tokenLimit))
  }

  @Test func sameSeedSameText() throws {
    let (model, tokenizer) = (try SmallModel.oracle.model(), try smallTokenizer())
    func text(_ seed: UInt64) throws -> Generator.Output {
      let sampler = try Sampler(temperature: 1, topP: 0.9, seed: seed)
      return try Generator(model, tokenizer: tokenizer, sampler: sampler).generate("the", limit: 20)
    }
    let first = try text(3)
    #expect(try text(3) == first)
    #expect(try text(4).tokens != first.tokens)
  }

  @Test func piecesAreTheWholeText() throws {
    let (model, tokenizer) = (try SmallModel.oracle.model(), try smallTokenizer())
    let sampler = try Sampler(temperature: 2, seed: 1)
    var pieces: [String] = []
    let output = try Generator(model, tokenizer: tokenizer, sampler: sampler)
      .generate("on", limit: 60) { pieces.append($0) }
    #expect(pieces.joined() == output.text && pieces.count > 1)
    #expect(Array(output.text.utf8) == Array(tokenizer.decode(output.tokens).utf8))
  }

  @Test func endsWhereTheModelEndsTheText() throws {
    let (model, tokenizer) = (try SmallModel.oracle.model(), try smallTokenizer())
    let head = try #require(model.namedTensors.first { $0.name == "lm_head.weight" }).tensor
    // A head whose only number that is not 0 makes ±h_j the logit of end-of-text; while that is negative the tie of
    // all others goes to token 0. Some j and sign end the text after a few tokens.
    for element in 0..<2 * head.columns {
      head.floats.update(repeating: 0)
      head.floats[Int(tokenizer.endOfText) * head.columns + element / 2] = element.isMultiple(of: 2) ? 1 : -1
      let output = try Generator(model, tokenizer: tokenizer, sampler: Sampler()).generate("the", limit: 5)
      guard output.ending == .endOfText, !output.tokens.isEmpty else { continue }
      #expect(output.tokens.allSatisfy { $0 == 0 } && output.tokens.count < 5)
      #expect(!output.text.contains(TokenizerTrainer.endOfText))
      return
    }
    Issue.record("no head ended the text")
  }

  @Test func stopsWhereTheContextIsFull() throws {
    let (model, tokenizer) = (try SmallModel.yarn.model(), try smallTokenizer())
    let sampler = try Sampler(temperature: 3, seed: 2)
    let generator = try Generator(model, tokenizer: tokenizer, sampler: sampler)
    let start = 1 + tokenizer.encode("the cat").count
    let output = try generator.generate("the cat", limit: 1000)
    try #require(output.ending == .contextFull(40), "another seed is needed: the text ended by itself")
    // The token after the last one that the model saw is still generated.
    #expect(output.tokens.count == 40 - start + 1)
  }

  @Test func promptThatDoesNotFitIsRefused() throws {
    let (model, tokenizer) = (try SmallModel.yarn.model(), try smallTokenizer())
    let generator = try Generator(model, tokenizer: tokenizer, sampler: Sampler())
    let prompt = String(repeating: "Q", count: 40)
    #expect(throws: GenerationError.promptTooLong(tokens: 41, context: 40)) {
      try generator.generate(prompt, limit: 1)
    }
    #expect(try generator.generate(String(prompt.dropLast()), limit: 1).tokens.count <= 1)
    #expect(throws: GenerationError.tokenLimit(0)) { try generator.generate("", limit: 0) }
  }

  @Test func tokenizerOfALargerModelIsRefused() throws {
    var trainer = try TokenizerTrainer(vocabularySize: 330, minimumPairCount: 1)
    trainer.add((0..<200).map { "word\($0 * 7919)" }.joined(separator: " "))
    let tokenizer = try trainer.tokenizer()
    let model = try SmallModel.oracle.model()
    #expect(throws: GenerationError.vocabulary(tokenizer: 330, model: 320)) {
      try Generator(model, tokenizer: tokenizer, sampler: Sampler())
    }
  }
}
