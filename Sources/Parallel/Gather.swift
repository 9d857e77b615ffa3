internal import Communication
internal import Tensors

/// Rows on their way back to the ranks of a group that they were from.
struct Gather {
  /// `[R, D]`, by the rank that they are for: what each part is here.
  private let parts: [Tensor]
  /// Room for what other nodes send, by part, and the first row from each of their ranks.
  private let rooms: [Tensor]
  private let places: [Int: Int]
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
    var (places, count) = ([Int: Int](), 0)
    for peer in links.far {
      places[peer] = count
      count += arriving[peer + 1] - arriving[peer]
    }
    rooms = parts.map { [count] in Tensor([count, $0.columns], $0.dtype, on: $0.device) }
    self.places = places
    for (peer, place) in places.sorted(by: { $0.value > $1.value }) {
      for (tag, room) in rooms.enumerated() {
        let rows = room.rows(place..<place + arriving[peer + 1] - arriving[peer])
        links.receive(into: rows, from: peer, tag: tag)
      }
    }
    for peer in links.near where arriving[peer] < arriving[peer + 1] {
      let bytes = (arriving[peer + 1] - arriving[peer]) * rowBytes
      notes[peer] = links.askForLoan(of: peer, places: parts.count, standingFor: bytes)
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
      let places = zip(parts, starts).map { $1 + first * $0.columns * $0.dtype.byteCount }
      links.offer(loan, places, to: peer, standingFor: (leaving[peer + 1] - first) * rowBytes)
    }
  }

  /// After the wait: the rows of each part that came back from each rank, wherever they lie.
  consuming func finish() -> [[Tensor]] {
    let (rank, size) = (links.group.rank, links.group.size)
    let lent = notes.mapValues { $0.open() }
    return parts.indices.map { part in
      (0..<size).map { peer in
        let (room, count) = (rooms[part], arriving[peer + 1] - arriving[peer])
        if peer == rank { return parts[part].rows(leaving[rank]..<leaving[rank + 1]) }
        if let place = places[peer] { return room.rows(place..<place + count) }
        guard let (memory, offsets) = lent[peer] else { return room.rows(0..<0) }
        return memory.tensor([count, room.columns], room.dtype, at: offsets[part], on: room.device)
      }
    }
  }
}
