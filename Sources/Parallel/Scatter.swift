internal import Communication
internal import Tensors

/// Rows on their way to the ranks of a group: from `T` rows here, `S` copies that leave.
struct Scatter {
  /// Something of each row, such as its codes or its scales.
  struct Part {
    /// `[T, D]`, of which an index tells which leave; or `[S, D]`, by the rank that they are for.
    let rows: Tensor
    let isIndexed: Bool
    /// Room for what arrives, by the rank that it is from.
    let target: Tensor

    /// Of one row.
    var byteCount: Int { target.columns * target.dtype.byteCount }

    /// Those of the rows that leave.
    /// - Parameter index: of all that leave.
    func copy(_ range: Range<Int>, of index: Tensor, into target: Tensor) {
      if isIndexed {
        gatherRows(rows, index.view(at: range.lowerBound, [range.count]), into: target)
      } else {
        copyRows(rows.rows(range), into: target)
      }
    }
  }

  private let parts: [Part]
  /// The first row from each rank, and the end.
  private let arriving: [Int]
  private let links: Links
  private var notes: [(peer: Int, note: LoanNote)] = []

  var requests: [Request] { links.requests }

  /// Starts to move rows.
  ///
  /// Receives are posted first, then sent what is slow: rows for other nodes. Those for one rank travel while those for
  /// the next are brought together.
  /// - Parameters:
  ///   - index: `[S]` int32, the rows that leave, by rank.
  ///   - leaving: the first of these for each rank, and the end.
  init(_ parts: [Part], index: Tensor, leaving: [Int], arriving: [Int], _ links: Links) {
    (self.parts, self.arriving) = (parts, arriving)
    var links = links
    let rowBytes = parts.reduce(0) { $0 + $1.byteCount }
    for peer in links.far.reversed() {
      for (tag, part) in parts.enumerated() {
        links.receive(into: part.target.rows(arriving[peer]..<arriving[peer + 1]), from: peer, tag: tag)
      }
    }
    for peer in links.near where arriving[peer] < arriving[peer + 1] {
      let bytes = (arriving[peer + 1] - arriving[peer]) * rowBytes
      notes.append((peer, links.askForLoan(of: peer, numbers: 2 + parts.count, standingFor: bytes)))
    }
    for (tag, part) in parts.enumerated() { Self.send(part, tag, index, leaving, &links) }
    Self.lend(parts, index, leaving, rowBytes, &links)
    let rank = links.group.rank
    for part in parts {
      let target = part.target.rows(arriving[rank]..<arriving[rank + 1])
      part.copy(leaving[rank]..<leaving[rank + 1], of: index, into: target)
    }
    self.links = links
  }

  private static func send(_ part: Part, _ tag: Int, _ index: Tensor, _ leaving: [Int], _ links: inout Links)
  {
    let count = links.far.reduce(0) { $0 + leaving[$1 + 1] - leaving[$1] }
    let room = Tensor([part.isIndexed ? count : 0, part.rows.columns], part.rows.dtype, on: part.rows.device)
    var place = 0
    for peer in links.far {
      let range = leaving[peer]..<leaving[peer + 1]
      guard part.isIndexed else {
        links.send(part.rows.rows(range), to: peer, tag: tag)
        continue
      }
      let rows = room.rows(place..<place + range.count)
      place += range.count
      part.copy(range, of: index, into: rows)
      links.send(rows, to: peer, tag: tag)
    }
  }

  /// All rows: each reader takes those that are for it.
  private static func lend(
    _ parts: [Part], _ index: Tensor, _ leaving: [Int], _ rowBytes: Int, _ links: inout Links
  ) {
    let readers = links.near.filter { leaving[$0] < leaving[$0 + 1] }
    guard !readers.isEmpty else { return }
    let (loan, starts) = links.lend([index] + parts.map(\.rows), to: readers)
    let tokens = parts.first { $0.isIndexed }?.rows.rows ?? 0
    for peer in readers {
      let first = leaving[peer]
      let offsets = zip(parts, starts.dropFirst()).map { $1 + ($0.isIndexed ? 0 : first * $0.byteCount) }
      let numbers = [tokens, starts[0] + first * index.dtype.byteCount] + offsets
      links.offer(loan, numbers, to: peer, standingFor: (leaving[peer + 1] - first) * rowBytes)
    }
  }

  /// After the wait: takes what other ranks of the node have lent, and gives it back.
  mutating func finish() {
    for (peer, note) in notes {
      let (memory, numbers) = note.open()
      let range = arriving[peer]..<arriving[peer + 1]
      let device = parts[0].target.device
      let index = memory.tensor([range.count], .int32, at: numbers[1], on: device)
      for (part, offset) in zip(parts, numbers.dropFirst(2)) {
        let target = part.target.rows(range)
        let rows = part.isIndexed ? numbers[0] : range.count
        let lent = Part(
          rows: memory.tensor([rows, target.columns], target.dtype, at: offset, on: device),
          isIndexed: part.isIndexed, target: target)
        lent.copy(0..<range.count, of: index, into: target)
      }
    }
    notes = []
    links.group.nodeMemory?.takeBack()
  }
}
