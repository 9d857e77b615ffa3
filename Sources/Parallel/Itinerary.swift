internal import Tensors

/// Which rows go to which rank of a group: what a rank decides from the rows that it has.
struct Itinerary {
  /// `[S]` int32: the place here of each row that leaves, by rank, then in the order of the rows.
  let rows: Tensor
  /// `[S, K]` int32: each row's experts, by their number where it goes to; -1 for those elsewhere.
  let experts: Tensor
  /// `[T, ranks]` int32: which of those that go to a rank is the row's; -1 for none.
  let positions: Tensor
  /// Rows for each rank.
  let counts: [Int]

  /// - Parameters:
  ///   - indices: `[T, K]` int32, the experts of each row; -1 for those that are not reached from here.
  ///   - expertsOfRank: those that are reached through each rank of the group.
  init(_ indices: Tensor, ranks: Int, expertsOfRank: Int) {
    let (count, selected, device) = (indices.rows, indices.columns, indices.device)
    let index = indices.elements(Int32.self)
    var visits = [Bool](repeating: false, count: count * ranks)
    var counts = [Int](repeating: 0, count: ranks)
    for t in 0..<count {
      for k in 0..<selected where index[t * selected + k] >= 0 {
        let rank = Int(index[t * selected + k]) / expertsOfRank
        guard !visits[t * ranks + rank] else { continue }
        visits[t * ranks + rank] = true
        counts[rank] += 1
      }
    }
    let total = counts.reduce(0, +)
    (rows, experts) = (Tensor([total], .int32, on: device), Tensor([total, selected], .int32, on: device))
    positions = Tensor([count, ranks], .int32, on: device)
    self.counts = counts
    let (place, expert) = (rows.elements(Int32.self), experts.elements(Int32.self))
    let position = positions.elements(Int32.self)
    let first = counts.indices.map { counts[..<$0].reduce(0, +) }
    var next = first
    for t in 0..<count {
      for rank in 0..<ranks {
        guard visits[t * ranks + rank] else {
          position[t * ranks + rank] = -1
          continue
        }
        let row = next[rank]
        next[rank] += 1
        (place[row], position[t * ranks + rank]) = (Int32(t), Int32(row - first[rank]))
        for k in 0..<selected {
          let local = Int(index[t * selected + k]) - rank * expertsOfRank
          expert[row * selected + k] = (0..<expertsOfRank).contains(local) ? Int32(local) : -1
        }
      }
    }
  }
}
