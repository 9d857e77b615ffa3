import Testing

@testable import Parallel

struct ShardOffsetsTests {
  /// The parts of all arrays together are equal but for the unit, follow each other, and cover everything once.
  @Test(arguments: [[1000], [7, 5000, 64, 1, 300], [3, 5], [0, 128], []], [1, 2, 3, 8])
  func partsCoverEverything(counts: [Int], ranks: Int) {
    let offsets = ShardedParameters.offsets(counts, ranks: ranks)
    #expect(offsets.count == counts.count)
    for (offsets, count) in zip(offsets, counts) {
      #expect(offsets.count == ranks + 1 && offsets.first == 0 && offsets.last == count)
      #expect(zip(offsets, offsets.dropFirst()).allSatisfy { $0 <= $1 })
    }
    let total = counts.reduce(0, +)
    for rank in 0..<ranks {
      let owned = offsets.reduce(0) { $0 + $1[rank + 1] - $1[rank] }
      #expect(abs(owned - total / ranks) <= 64 + ranks)
    }
  }
}
