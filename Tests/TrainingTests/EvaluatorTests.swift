import Autograd
import Data
import Foundation
import Model
import Tensors
import Testing

@testable import Training

/// Evaluation of a stream of 45 tokens in rows of 8: five whole rows and one of 4 predictions.
struct EvaluatorTests {
  private let model: DeepSeek
  private let stream: [Int32]
  private let dataset: TokenDataset
  private let file = TemporaryFile()
  private let length = 8

  init() throws {
    model = try ModelConfiguration.small.model()
    var writer = try ShardWriter(path: file.path, vocabularySize: 64, endOfText: 1)
    var stream: [Int32] = [1]
    for (index, count) in [9, 1, 17, 13].enumerated() {
      let document = scrambledTokens(count, below: 64, from: 2, seed: UInt64(index + 5))
      // Tokens differ in length.
      try writer.append(document: document, textBytes: count * (index + 2) + 1)
      stream += document + [1]
    }
    _ = try writer.finish()
    dataset = try TokenDataset([file.path])
    self.stream = stream
  }

  private func run(
    batch: Int, maxTokens: Int? = nil, acceptance: Bool = false
  ) -> EvaluationResult {
    Evaluator(model, dataset, sequenceLength: length, batch: batch)
      .run(maxTokens: maxTokens, acceptance: acceptance)
  }

  /// What evaluation should find, one row at a time without padding, from whole logits.
  private struct Expectation {
    var sums = [0.0, 0.0]
    var valid = [0, 0]
    var (accepted, compared) = (0, 0)
  }

  private func expectation() -> Expectation {
    var expected = Expectation()
    for begin in stride(from: 0, to: stream.count - 1, by: length) {
      let inputs = Array(stream[begin..<min(begin + length, stream.count - 1)])
      let context = ForwardContext(
        tape: Tape(on: model.device, isRecording: false), sequences: 1, length: inputs.count,
        table: model.rotaryTable(length))
      let objective = Objective(validLabels: [1, 1], multiTokenWeight: 0)
      let hidden = model.losses(MicroBatch(rows: [inputs]), objective, context).hidden
      let (main, draft) = (logits(hidden[0]), logits(hidden[1]))
      for i in inputs.indices {
        expected.sums[0] += loss(main[i], stream[begin + i + 1])
        expected.valid[0] += 1
        guard i + 1 < inputs.count else { continue }
        expected.sums[1] += loss(draft[i], stream[begin + i + 2])
        expected.valid[1] += 1
        expected.compared += 1
        if likeliest(draft[i]) == likeliest(main[i + 1]) { expected.accepted += 1 }
      }
    }
    return expected
  }

  private func logits(_ hidden: Tensor) -> [[Double]] {
    let all = model.logits(hidden)
    return (0..<all.rows).map { row in (0..<64).map { Double(all.floats[row * 64 + $0]) } }
  }

  /// −log softmax(logits)[token]
  private func loss(_ logits: [Double], _ token: Int32) -> Double {
    log(logits.reduce(0) { $0 + exp($1) }) - logits[Int(token)]
  }

  private func likeliest(_ logits: [Double]) -> Int? { logits.indices.max { logits[$0] < logits[$1] } }

  @Test(arguments: [1, 2, 4, 6, 7])
  func everyTokenButTheFirstIsPredictedOnce(batch: Int) {
    #expect(stream.count == 45 && dataset.count == 45)
    let (found, expected) = (run(batch: batch, acceptance: true), expectation())
    #expect(found.tokens == 44)
    #expect(expected.valid == [44, 38])
    #expect(found.valid == expected.valid)
    for depth in 0...1 {
      let difference = abs(found.sums[depth] - expected.sums[depth])
      #expect(difference <= 1e-6 * expected.sums[depth], "depth \(depth): differs by \(difference)")
    }
    #expect(abs(found.loss - expected.sums[0] / 44) <= 1e-6 * found.loss)
    #expect(abs(found.multiTokenLosses[0] - expected.sums[1] / 38) <= 1e-6 * found.multiTokenLosses[0])
    #expect(found.compared == expected.compared)
    #expect(found.accepted == expected.accepted)
    #expect(found.acceptance == Double(expected.accepted) / 38)
    #expect((0...1).contains(found.acceptance ?? -1))
  }

  @Test func theWholeStreamIsTheWholeText() {
    let found = run(batch: 4)
    // Σ count · (index + 2) + 1 over the documents.
    let bytes = 19 + 4 + 69 + 66
    #expect(dataset.textBytes == bytes)
    #expect(found.bytes == Double(bytes))
    #expect(abs(found.bitsPerByte - found.sums[0] / log(2) / Double(bytes)) < 1e-12)
    #expect(abs(found.perplexity - exp(found.loss)) < 1e-9)
    #expect(found.acceptance == nil, "acceptance costs two products a batch and was not asked for")
  }

  /// The row with which there are enough tokens is the last one, however many are computed together.
  @Test(arguments: [
    (1, 1, 8), (8, 1, 8), (9, 1, 16), (41, 1, 44), (1000, 1, 44), (8, 3, 8), (17, 4, 24),
  ])
  func stopsAfterARow(maxTokens: Int, batch: Int, tokens: Int) {
    let found = run(batch: batch, maxTokens: maxTokens)
    #expect(found.tokens == tokens && found.valid[0] == tokens)
    // A part of the stream counts as its share of the text.
    #expect(abs(found.bytes - 158 * Double(tokens) / 44) < 1e-9)
  }

  @Test func withoutModulesThereIsNoAcceptance() throws {
    var configuration = ModelConfiguration.small
    configuration.numNextnPredictLayers = 0
    let evaluator = Evaluator(try configuration.model(), dataset, sequenceLength: length, batch: 2)
    let found = evaluator.run(acceptance: true)
    #expect(found.tokens == 44 && found.acceptance == nil && found.multiTokenLosses.isEmpty)
  }
}
