internal import Tensors

/// How the tokens of ranks are cut into slices, so that few enough rows arrive at each rank at once.
///
/// Slice s of n has the tokens `s T / n ..< (s + 1) T / n`; n is a power of two, so that the rows of fewer slices are
/// sums of those of the most.
package enum TokenSlicing {
  /// Slices, at most.
  package static let most = 64

  package static func slices(_ count: Int, of tokens: Int) -> [Range<Int>] {
    (0..<count).map { $0 * tokens / count..<($0 + 1) * tokens / count }
  }

  /// Rows that arrive at most at a rank, from each of `ranks` with `tokens`, with the most slices: no limit can be less.
  package static func leastLimit(tokens: Int, ranks: Int) -> Int { ranks * ((tokens + most - 1) / most) }

  /// `[ranks, most]`: how many rows each of the most slices has for each rank.
  static func counts(_ indices: Tensor, ranks: Int, expertsOfRank: Int) -> [Int] {
    var counts = [Int](repeating: 0, count: ranks * most)
    let (index, selected) = (indices.elements(Int32.self), indices.columns)
    for (s, slice) in slices(most, of: indices.rows).enumerated() {
      for t in slice {
        let reached = Set((0..<selected).map { Int(index[t * selected + $0]) / expertsOfRank })
        for rank in reached { counts[rank * most + s] += 1 }
      }
    }
    return counts
  }

  /// `[most]`: the rows of each slice that arrive, from `[ranks, most]`.
  static func sums(_ arriving: [Int]) -> [Int] {
    (0..<most).map { slice in
      stride(from: slice, to: arriving.count, by: most).reduce(0) { $0 + arriving[$1] }
    }
  }

  /// The least number of slices of which none has more rows than the limit.
  /// - Parameter arriving: rows of each of the most slices.
  static func leastSlices(_ arriving: [Int], limit: Int) -> Int {
    var (count, rows) = (most, arriving)
    precondition(
      rows.allSatisfy { $0 <= limit },
      "\(rows.max() ?? 0) rows of a slice, of which there are \(most), over \(limit)")
    while count > 1 {
      let joined = (0..<count / 2).map { rows[2 * $0] + rows[2 * $0 + 1] }
      guard joined.allSatisfy({ $0 <= limit }) else { break }
      (count, rows) = (count / 2, joined)
    }
    return count
  }
}
