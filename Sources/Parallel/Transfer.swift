internal import Communication
internal import Tensors

/// Rows on their way between the ranks of a group: what was posted, and is to be waited for.
struct Transfer {
  let group: Communicator
  private let purpose: Purpose
  /// The first row for, and from, each rank, and the end.
  private let leaving, arriving: [Int]
  private(set) var requests: [Request] = []
  private var arrays = 0

  init(_ group: Communicator, _ purpose: Purpose, leaving: [Int], arriving: [Int]) {
    (self.group, self.purpose, self.leaving, self.arriving) = (group, purpose, leaving, arriving)
  }

  /// Starts to send rows, and to receive those of the others into `target`, which lives until the requests are done.
  ///
  /// Receives are posted first, and each rank begins with its next neighbour: no rank is everyone's first. What leaves
  /// for one rank travels while the rows for the next are brought together.
  /// - Parameter index: `[S]` int32, the rows that leave, by rank; nil: all, as they lie, until the requests are done.
  mutating func start(_ rows: Tensor, gathering index: Tensor? = nil, into target: Tensor) {
    let (rank, size, tag) = (group.rank, group.size, arrays)
    let own = leaving[rank]..<leaving[rank + 1]
    arrays += 1
    let others = index.map { Tensor([$0.count - own.count, rows.columns], rows.dtype, on: rows.device) }
    do {
      for step in 1..<max(size, 1) {
        let peer = (rank + size - step) % size
        requests.append(
          try group.receive(
            target.rows(arriving[peer]..<arriving[peer + 1]).buffer, from: peer, tag: tag,
            owner: target.storage, purpose))
      }
      for step in 1..<max(size, 1) {
        let peer = (rank + step) % size
        let range = leaving[peer]..<leaving[peer + 1]
        let source: Tensor
        if let index, let others {
          let place = range.lowerBound - (peer > rank ? own.count : 0)
          source = others.rows(place..<place + range.count)
          gatherRows(rows, index.view(at: range.lowerBound, [range.count]), into: source)
        } else {
          source = rows.rows(range)
        }
        requests.append(
          try group.send(
            UnsafeRawBufferPointer(source.buffer), to: peer, tag: tag, owner: source.storage, purpose))
      }
    } catch {
      group.endJob(error)
    }
    let arrived = target.rows(arriving[rank]..<arriving[rank + 1])
    if let index {
      gatherRows(rows, index.view(at: own.lowerBound, [own.count]), into: arrived)
    } else {
      arrived.copy(rows.rows(own))
    }
  }
}
