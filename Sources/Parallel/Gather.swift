internal import Communication
internal import Tensors

/// Rows on their way back to the ranks of a group that they were from.
struct Gather {
  /// `[R, D]`, by the rank that they are for: what each part is here.
  private let parts: [Tensor]
  /// Room for what other nodes send, by part, and in it the first row from each of their ranks.
  private let rooms: [Tensor]
  private let firstRows: [Int: Int]
  /// The first row for, and from, each rank, and the end.
  private let leaving, arriving: [Int]
  private let links: Links
  private var notes: [Int: LoanNote] = [:]

  var requests: [Request] { links.requests }

  /// Starts to move rows. They stay as they are until the end.
  init(_ parts: [Tensor], leaving: [Int], arriving: [Int], _ links: Links) {
    (self.parts, self.leaving, self.arriving) = (parts, leaving, arriving)
    var links = links
    let rowBytes = parts.reduce(0) { $0 + $1.columns * $1.dtype.byteCount }
    var (firstRows, count) = ([Int: Int](), 0)
    for peer in links.far {
      firstRows[peer] = count
      count += arriving[peer + 1] - arriving[peer]
    }
    rooms = parts.map { [count] in Tensor([count, $0.columns], $0.dtype, on: $0.device) }
    self.firstRows = firstRows
    for (peer, first) in firstRows.sorted(by: { $0.value > $1.value }) {
      for (tag, room) in rooms.enumerated() {
        let rows = room.rows(first..<first + arriving[peer + 1] - arriving[peer])
        links.receive(into: rows, from: peer, tag: tag)
      }
    }
    for peer in links.near where arriving[peer] < arriving[peer + 1] {
      let bytes = (arriving[peer + 1] - arriving[peer]) * rowBytes
      notes[peer] = links.askForLoan(of: peer, numbers: parts.count, standingFor: bytes)
    }
    for (tag, part) in parts.enumerated() {
      for peer in links.far { links.send(part.rows(leaving[peer]..<leaving[peer + 1]), to: peer, tag: tag) }
    }
    Self.lend(parts, leaving, rowBytes, &links)
    self.links = links
  }

  private static func lend(_ parts: [Tensor], _ leaving: [Int], _ rowBytes: Int, _ links: inout Links) {
    let readers = links.near.filter { leaving[$0] < leaving[$0 + 1] }
    guard !readers.isEmpty else { return }
    let (loan, starts) = links.lend(parts, to: readers)
    for peer in readers {
      let first = leaving[peer]
      let offsets = zip(parts, starts).map { $1 + first * $0.columns * $0.dtype.byteCount }
      links.offer(loan, offsets, to: peer, standingFor: (leaving[peer + 1] - first) * rowBytes)
    }
  }

  /// After the wait: the rows of each part that came back from each rank, wherever they lie.
  consuming func finish() -> [[Tensor]] {
    links.group.nodeMemory?.takeBack()
    let (rank, size) = (links.group.rank, links.group.size)
    let lent = notes.mapValues { $0.open() }
    return parts.indices.map { part in
      (0..<size).map { peer in
        let (room, count) = (rooms[part], arriving[peer + 1] - arriving[peer])
        if peer == rank { return parts[part].rows(leaving[rank]..<leaving[rank + 1]) }
        if let first = firstRows[peer] { return room.rows(first..<first + count) }
        guard let (memory, offsets) = lent[peer] else {
          precondition(count == 0, "\(count) rows of rank \(peer) that nobody asked for")
          return room.rows(0..<0)
        }
        return memory.tensor([count, room.columns], room.dtype, at: offsets[part], on: room.device)
      }
    }
  }
}
