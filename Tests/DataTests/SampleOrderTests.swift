import Testing

@testable import Data

@Suite struct SampleOrderTests {
  @Test(arguments: [1, 2, 3, 4, 5, 16, 17, 1000, 65_537])
  func everyEpochIsAPermutation(rows: Int) {
    let order = SampleOrder(seed: 5, rows: rows)
    var epochs: [[Int]] = []
    for epoch in 0..<3 {
      let visited = (0..<rows).map { order.row(at: epoch * rows + $0) }
      var seen = [Bool](repeating: false, count: rows)
      for row in visited { seen[row] = true }
      #expect(!seen.contains(false), "epoch \(epoch) of \(rows) rows")
      epochs.append(visited)
    }
    // Two random orders of 16 rows agree once in 2·10¹³ times.
    guard rows >= 16 else { return }
    #expect(Set(epochs).count == 3)
    #expect((0..<rows).map { SampleOrder(seed: 6, rows: rows).row(at: $0) } != epochs[0])
  }

  /// Values of another implementation, so that runs resume with later versions.
  @Test func valuesArePinned() {
    let expected = [
      0, 7, 4, 5, 9, 1, 6, 2, 8, 3, 3, 9, 6, 0, 4, 7, 5, 8, 2, 1, 5, 2, 0, 6, 9, 1, 3, 7, 4, 8,
    ]
    let small = SampleOrder(seed: 42, rows: 10)
    #expect((0..<30).map { small.row(at: $0) } == expected)
    let middle = SampleOrder(seed: 7, rows: 65_537)
    let places = [0, 1, 2, 65_536, 65_537, 1_000_000_000_000]
    #expect(places.map { middle.row(at: $0) } == [53343, 61489, 28543, 11493, 38995, 61423])
    let odd = SampleOrder(seed: 0, rows: (1 << 40) + 3)
    #expect(
      [0, 1, 1 << 41].map { odd.row(at: $0) } == [1_066_743_964_188, 549_024_974_358, 738_231_337_877])
  }

  @Test func ordersAreEvenlySpread() {
    // 3 rows have 6 orders; over 6000 epochs each should come about 1000 times (five deviations: 145).
    let order = SampleOrder(seed: 1, rows: 3)
    var counts: [[Int]: Int] = [:]
    for epoch in 0..<6000 { counts[(0..<3).map { order.row(at: 3 * epoch + $0) }, default: 0] += 1 }
    #expect(counts.count == 6)
    #expect(counts.values.allSatisfy { abs($0 - 1000) < 145 }, "\(counts)")
    // The row of the first sample is uniform over many rows: mean within five deviations of the mean.
    let mean =
      (0..<2000).reduce(0.0) { $0 + Double(SampleOrder(seed: 1, rows: 1000).row(at: 1000 * $1)) } / 2000
    #expect(abs(mean - 499.5) < 5 * 288.7 / 44.7)
  }
}
