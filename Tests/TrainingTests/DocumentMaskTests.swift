import Autograd
import Data
import Model
import OracleSupport
import Tensors
import Testing

@testable import Training

/// Training and evaluation on packed rows whose documents do not see each other.
struct DocumentMaskTests {
  private let end: Int32 = 1
  /// Token counts, the end-of-text included.
  private let lengths = [9, 1, 14, 8]
  private let dataset: TokenDataset
  private let file = TemporaryFile()
  /// The stream: an end-of-text, then the documents.
  private let stream: [Int32]

  init() throws {
    var writer = try ShardWriter(path: file.path, vocabularySize: 64, endOfText: end)
    var stream: [Int32] = [end]
    for (index, count) in lengths.enumerated() {
      let document = scrambledTokens(count - 1, below: 64, from: 2, seed: UInt64(index + 5))
      try writer.append(document: document, textBytes: count)
      stream += document + [end]
    }
    _ = try writer.finish()
    dataset = try TokenDataset([file.path])
    self.stream = stream
  }

  private let both: DocumentBoundaries = [.attention, .multiTokenPrediction]

  /// The documents of the row of all tokens but the last, each alone.
  private func alone() -> [MicroBatch] {
    var begin = 0
    return ([1] + lengths).compactMap { count in
      defer { begin += count }
      let range = begin..<min(begin + count, stream.count - 1)
      return MicroBatch(
        sequences: 1, length: range.count, inputs: Array(stream[range]),
        labels: Array(stream[range.lowerBound + 1..<range.upperBound + 1]),
        documents: Array(repeating: 0, count: range.count), boundaries: both)
    }
  }

  /// The losses and gradients of one packed row are those of its documents.
  @Test func aPackedRowTrainsAsItsDocuments() throws {
    let rows = RowSet(dataset, sequenceLength: stream.count - 1)
    let source = BatchSource.rows(rows, SampleOrder(seed: 0, rows: rows.wholeCount), boundaries: both)
    let packed = source.microBatch(first: 0, count: 1)
    #expect(packed.inputs == stream.dropLast())
    #expect(
      packed.firstSeen
        == stream.indices.dropLast().map { Int32((stream[..<$0].lastIndex(of: end) ?? -1) + 1) })
    func run(_ batches: [MicroBatch]) throws -> (StepSums, [(name: String, values: [Float])]) {
      let model = try ModelConfiguration.small.model()
      let sums = StepRunner(model).run(batches, multiTokenWeight: 0.3)
      let gradients = model.parameters.flatMap { parameter in
        parameter.parts.map { ($0.name, Array(parameter.gradient(of: $0).floats)) }
      }
      return (sums, gradients)
    }
    let (found, expected) = (try run([packed]), try run(alone()))
    #expect(found.0.objective.validLabels == expected.0.objective.validLabels)
    for (value, expected) in zip(found.0.losses.tokens, expected.0.losses.tokens) {
      #expect(expected > 0 && abs(value - expected) <= 1e-6 * expected, "\(value) is not \(expected)")
    }
    for (found, expected) in zip(found.1, expected.1) {
      let error = relativeError(found.values, expected.values)
      #expect(error <= 1e-5, "\(found.name): \(error)")
    }
  }

  /// Evaluation too, where the last row is filled up.
  @Test func evaluationSeesDocumentsAlone() throws {
    let model = try ModelConfiguration.small.model()
    func evaluate(_ boundaries: DocumentBoundaries) -> EvaluationResult {
      Evaluator(model, dataset, sequenceLength: stream.count + 3, batch: 1, boundaries: boundaries).run()
    }
    let expected = StepRunner(model).run(alone(), multiTokenWeight: 0).losses.tokens
    let (found, across) = (evaluate(both), evaluate(.multiTokenPrediction))
    #expect(found.tokens == stream.count - 1)
    for depth in 0...1 {
      let difference = abs(found.sums[depth] - expected[depth])
      #expect(difference <= 1e-6 * expected[depth], "depth \(depth): differs by \(difference)")
      #expect(
        abs(across.sums[depth] - expected[depth]) > 1e-3 * expected[depth], "the mask makes no difference")
    }
  }
}
