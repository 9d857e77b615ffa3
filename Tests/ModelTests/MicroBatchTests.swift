import Model
import Testing

/// What the depths of multi-token prediction read of two rows (specification §2.1).
struct MicroBatchTests {
  /// Tokens t_1…t_7 of each row: six inputs, and six labels, one place on.
  private let inputs: [Int32] = [10, 11, 12, 13, 14, 15] + [20, 21, 22, 23, 24, 25]
  private let labels: [Int32] = [11, 12, 13, 14, 15, 16] + [21, 22, 23, 24, 25, 26]
  private let documents: [Int32] = [0, 0, 0, 1, 1, 1] + [0, 1, 1, 1, 1, 2]

  private func batch(_ labels: [Int32], _ boundaries: DocumentBoundaries = []) -> MicroBatch {
    MicroBatch(
      sequences: 2, length: 6, inputs: inputs, labels: labels, documents: documents, boundaries: boundaries)
  }

  struct Expectation: Sendable {
    let depth: Int
    let hasDocuments: Bool
    let ids, labels: [Int32]
    /// 1 where a position takes part.
    let keeps: [Int]?
  }

  private static let table = [
    Expectation(
      depth: 1, hasDocuments: false, ids: [11, 12, 13, 14, 15, 0] + [21, 22, 23, 24, 25, 0],
      labels: [12, 13, 14, 15, 16, -1] + [22, 23, 24, 25, 26, -1], keeps: nil),
    Expectation(
      depth: 2, hasDocuments: false, ids: [12, 13, 14, 15, 0, 0] + [22, 23, 24, 25, 0, 0],
      labels: [13, 14, 15, 16, -1, -1] + [23, 24, 25, 26, -1, -1], keeps: nil),
    Expectation(
      depth: 1, hasDocuments: true, ids: [11, 12, 0, 14, 15, 0] + [0, 22, 23, 24, 0, 0],
      labels: [12, 13, -1, 15, 16, -1] + [-1, 23, 24, 25, -1, -1],
      keeps: [1, 1, 0, 1, 1, 0] + [0, 1, 1, 1, 0, 0]),
    Expectation(
      depth: 2, hasDocuments: true, ids: [12, 0, 0, 15, 0, 0] + [0, 23, 24, 0, 0, 0],
      labels: [13, -1, -1, 16, -1, -1] + [-1, 24, 25, -1, -1, -1],
      keeps: [1, 0, 0, 1, 0, 0] + [0, 1, 1, 0, 0, 0]),
  ]

  @Test(arguments: table) func depthsRollLeft(_ expected: Expectation) {
    let batch = batch(labels, expected.hasDocuments ? .multiTokenPrediction : .attention)
    let shifted = batch.shifted(by: expected.depth)
    #expect(shifted.ids == expected.ids)
    #expect(shifted.labels == expected.labels)
    #expect(shifted.keeps == expected.keeps?.map { $0 == 1 })
  }

  @Test func positionsSeeTheirDocument() {
    #expect(batch(labels).firstSeen == nil && batch(labels, .multiTokenPrediction).firstSeen == nil)
    #expect(batch(labels, .attention).firstSeen == [0, 0, 0, 3, 3, 3] + [0, 1, 1, 1, 1, 5])
  }

  @Test func validLabelsAreCountedByDepth() {
    #expect(batch(labels).validLabels(depths: 0) == [12])
    #expect(batch(labels).validLabels(depths: 2) == [12, 10, 8])
    #expect(batch(labels, .multiTokenPrediction).validLabels(depths: 2) == [12, 7, 4])
  }

  /// A label that takes no part in the loss is still a token that other positions read.
  @Test func ignoredLabelsLeaveTheTokens() {
    var some = labels
    for position in [2, 5, 6] { some[position] = MicroBatch.ignored }
    let shifted = batch(some).shifted(by: 1)
    #expect(shifted.ids == [11, 12, 13, 14, 15, 0] + [21, 22, 23, 24, 25, 0])
    #expect(shifted.labels == [12, -1, 14, 15, -1, -1] + [22, 23, 24, 25, 26, -1])
    #expect(batch(some).validLabels(depths: 2) == [9, 8, 6])
  }

  /// In a row that is its own labels the last position has none.
  @Test func rowsAreTheirOwnLabels() {
    let batch = MicroBatch(rows: [[1, 2, 3, 4], [5, 6, 7, 8]])
    #expect(batch.sequences == 2 && batch.length == 4)
    #expect(batch.labels == [2, 3, 4, -1] + [6, 7, 8, -1])
    #expect(batch.shifted(by: 1).ids == [2, 3, 4, 0] + [6, 7, 8, 0])
    #expect(batch.shifted(by: 1).labels == [3, 4, -1, -1] + [7, 8, -1, -1])
    #expect(batch.validLabels(depths: 3) == [6, 4, 2, 0])
  }
}
