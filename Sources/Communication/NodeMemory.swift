internal import Synchronization

/// Memory of this rank that the other ranks of its node read where it lies, and theirs: what goes from one to the other
/// is copied once, by who needs it.
package final class NodeMemory {
  /// What is out: nobody may overwrite it.
  private struct Lent {
    let number: Int
    let owners: [AnyObject]
    /// By their places in the node.
    let readers: [Int]
  }

  /// The node's, by the places of its ranks, and this rank's place.
  private let segments: [SharedSegment]
  private let place: Int
  /// By rank of the world.
  private let places: [Int: Int]
  private var lent: [Lent?] = Array(repeating: nil, count: SharedSegment.slots)
  private var loans = 0
  /// Bytes of this rank's segment that were handed out.
  private var used = 0

  /// Opens the segments of the ranks of a node.
  /// - Parameters:
  ///   - own: the segment of `rank`.
  ///   - locations: of the ranks of the node.
  ///   - ranks: of the world, in the same order.
  /// - Throws: `SharedSegment.Fault` where one of them cannot be opened.
  init(
    _ own: SharedSegment, _ locations: [SharedSegment.Location], ranks: [Int], rank: Int
  ) throws(SharedSegment.Fault) {
    guard let place = ranks.firstIndex(of: rank) else { preconditionFailure("rank \(rank) of \(ranks)") }
    var segments: [SharedSegment] = []
    for (other, location) in zip(ranks, locations) {
      do throws(SharedSegment.Fault) {
        segments.append(
          other == rank ? own : try SharedSegment(reading: location, ranks: ranks.count))
      } catch {
        throw .init(reason: "memory of rank \(other): \(error.reason)")
      }
    }
    (self.segments, self.place) = (segments, place)
    places = Dictionary(uniqueKeysWithValues: ranks.enumerated().map { ($1, $0) })
  }

  /// Whether a rank of the world is one of the others that read this one's memory.
  func isShared(with rank: Int) -> Bool { places[rank].map { $0 != place } ?? false }

  /// Memory that can be lent, for good, from the start of a page; nil when there is no more.
  package func slab(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    let length = (byteCount + SharedSegment.page - 1) / SharedSegment.page * SharedSegment.page
    guard segments[place].room - used >= length else { return nil }
    defer { used += length }
    return segments[place].data + used
  }

  /// Where an address lies in what can be lent; nil: not in there.
  package func offset(of address: UnsafeRawPointer) -> Int? {
    let offset = address - UnsafeRawPointer(segments[place].data)
    return 0..<used ~= offset ? offset : nil
  }

  /// Keeps `owners` until these ranks of the world, each of which is told of it, have given back what it is lent; nil
  /// while too many loans are out.
  func lend(_ owners: [AnyObject], to ranks: [Int]) -> Loan? {
    takeBack()
    guard let slot = lent.firstIndex(where: { $0 == nil }) else { return nil }
    loans += 1
    let readers = ranks.map { rank in
      guard let place = places[rank] else { preconditionFailure("rank \(rank) is not on this node") }
      return place
    }
    lent[slot] = Lent(number: loans, owners: owners, readers: readers)
    return Loan(slot: slot, number: loans)
  }

  /// What a rank of the world lends, as it tells.
  func borrow(_ loan: Loan, from rank: Int) -> Borrowed {
    guard let owner = places[rank] else { preconditionFailure("rank \(rank) is not on this node") }
    let mark = segments[place].mark(of: owner, slot: loan.slot)
    precondition(
      mark.pointee.load(ordering: .relaxed) < loan.number, "a loan of rank \(rank) is opened again")
    return Borrowed(segments[owner], loan.number, mark: mark, of: self)
  }

  /// Loans that all readers have given back are none any more.
  package func takeBack() {
    for (slot, loan) in lent.enumerated() {
      guard let loan else { continue }
      if loan.readers.allSatisfy({ hasGivenBack($0, loan.number, slot: slot) }) { lent[slot] = nil }
    }
  }

  private func hasGivenBack(_ reader: Int, _ number: Int, slot: Int) -> Bool {
    segments[reader].mark(of: place, slot: slot).pointee.load(ordering: .acquiring) == number
  }

  /// The ranks of the world that have not given back what they were lent.
  var lateReaders: [Int] {
    let late = lent.enumerated().flatMap { slot, loan in
      loan.map { loan in loan.readers.filter { !hasGivenBack($0, loan.number, slot: slot) } } ?? []
    }
    return places.filter { late.contains($0.value) }.keys.sorted()
  }

  /// Nobody reads any more: owners would hold this memory, and this memory them.
  func dropLoans() { lent = lent.map { _ in nil } }
}

/// What a rank calls something that it lends.
package struct Loan: BitwiseCopyable {
  let slot, number: Int
}

/// Memory of another rank of the node, to be read. It is given back with its last owner.
package final class Borrowed {
  private let segment: SharedSegment
  private let number: Int
  private let mark: UnsafeMutablePointer<Atomic<Int>>
  /// Keeps the mapping of the mark.
  private let memory: NodeMemory

  init(
    _ segment: SharedSegment, _ number: Int, mark: UnsafeMutablePointer<Atomic<Int>>, of memory: NodeMemory
  ) {
    (self.segment, self.number, self.mark, self.memory) = (segment, number, mark, memory)
  }

  /// What the lender has there, by its ``NodeMemory/offset(of:)``.
  package func bytes(at offset: Int, _ count: Int) -> UnsafeRawBufferPointer {
    precondition(offset >= 0 && count >= 0 && offset + count <= segment.room, "\(count) bytes at \(offset)")
    return UnsafeRawBufferPointer(start: segment.data + offset, count: count)
  }

  deinit { mark.pointee.store(number, ordering: .releasing) }
}
