package import Data
package import Model
internal import Numerics

/// Where micro-batches come from: a pure function of the sample index, so a run resumes anywhere.
package enum BatchSource: Sendable {
  /// Rows of a token stream in shuffled order.
  case rows(RowSet, SampleOrder, boundaries: DocumentBoundaries)
  /// Uniformly random tokens.
  case synthetic(vocabulary: Int, length: Int, seed: UInt64)

  /// Samples `first ..< first + count`, whole rows of T inputs and T labels.
  package func microBatch(first: Int, count: Int) -> MicroBatch {
    switch self {
    case .rows(let rows, let order, let boundaries):
      let samples = (first..<first + count).map { rows.row(order.row(at: $0)) }
      return MicroBatch(
        sequences: count, length: rows.sequenceLength, inputs: samples.flatMap { $0.tokens.dropLast() },
        labels: samples.flatMap { $0.tokens.dropFirst() },
        documents: samples.flatMap { $0.documentIndex.dropLast() }, boundaries: boundaries)
    case .synthetic(let vocabulary, let length, let seed):
      let rows = (first..<first + count).map { Self.randomRow($0, length + 1, vocabulary, seed) }
      return MicroBatch(
        sequences: count, length: length, inputs: rows.flatMap { $0.dropLast() },
        labels: rows.flatMap { $0.dropFirst() })
    }
  }

  /// Samples of one pass over the data; nil when there is no end to them.
  package var samplesPerEpoch: Int? {
    if case .rows(_, let order, _) = self { order.rows } else { nil }
  }

  private static func randomRow(_ sample: Int, _ count: Int, _ vocabulary: Int, _ seed: UInt64) -> [Int32] {
    let numbers = Philox(seed: seed, name: "synthetic.\(sample)")
    return (0..<count).map { Int32(numbers.uniform(UInt64($0)) * Double(vocabulary)) }
  }
}

extension RowSet {
  /// Row `index` as labels with the padding of the last row ignored: for evaluation, where each token counts once.
  func evaluationRow(_ index: Int) -> (inputs: [Int32], labels: [Int32], documents: [Int32]) {
    let row = row(index)
    let labels = row.tokens.indices.dropFirst().map {
      $0 < row.validCount ? row.tokens[$0] : MicroBatch.ignored
    }
    return (row.tokens.dropLast(), labels, row.documentIndex.dropLast())
  }
}
