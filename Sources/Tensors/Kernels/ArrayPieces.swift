/// Arrays cut into pieces of at most a fixed size, so that one loop shares all of them among the threads, the small
/// ones too. The cuts do not depend on the number of threads.
struct ArrayPieces {
  /// Elements of a piece: some hundred microseconds of memory traffic.
  private static let size = 1 << 16
  /// The number of pieces up to and including each array.
  private let ends: [Int]
  private let counts: [Int]

  /// - Parameter counts: the elements of each array.
  init(_ counts: [Int]) {
    self.counts = counts
    var pieces = 0
    ends = counts.map { count in
      pieces += (count + Self.size - 1) / Self.size
      return pieces
    }
  }

  /// How many pieces there are.
  var count: Int { ends.last ?? 0 }

  /// The array that a piece belongs to, and its elements there.
  subscript(piece: Int) -> (array: Int, range: Range<Int>) {
    var (low, high) = (0, ends.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if ends[middle] > piece { high = middle } else { low = middle + 1 }
    }
    let begin = (piece - (low == 0 ? 0 : ends[low - 1])) * Self.size
    return (low, begin..<min(begin + Self.size, counts[low]))
  }
}
