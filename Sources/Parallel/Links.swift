internal import Communication
internal import Tensors

/// A rank's ways to the others of a group, and what was posted on them.
///
/// To ranks of other nodes rows are sent. Ranks of the same node read them where they lie: each row is then copied
/// once, by the threads of who needs it.
struct Links {
  let group: Communicator
  private let purpose: Purpose
  /// Those who get messages, and those who share memory. Each rank begins with its next neighbour: no rank is
  /// everyone's first.
  let far, near: [Int]
  /// To be waited for.
  private(set) var requests: [Request] = []

  init(_ group: Communicator, _ purpose: Purpose) {
    (self.group, self.purpose) = (group, purpose)
    let others = (1..<max(group.size, 1)).map { (group.rank + $0) % group.size }
    near = others.filter { group.sharesMemory(with: $0) }
    far = others.filter { !group.sharesMemory(with: $0) }
  }

  mutating func receive(into rows: Tensor, from peer: Int, tag: Int) {
    requests += endingJob { () throws(CommunicationError) in
      [try group.receive(rows.buffer, from: peer, tag: tag, owner: rows.storage, purpose)]
    }
  }

  /// The rows stay as they are until the requests are done.
  mutating func send(_ rows: Tensor, to peer: Int, tag: Int) {
    requests += endingJob { () throws(CommunicationError) in
      let bytes = UnsafeRawBufferPointer(rows.buffer)
      return [try group.send(bytes, to: peer, tag: tag, owner: rows.storage, purpose)]
    }
  }

  /// Lends arrays to `readers`, each of which is then told of it. They stay as they are until all have read them.
  /// - Returns: where they lie. What was not made to be lent is copied.
  func lend(_ arrays: [Tensor], to readers: [Int]) -> (loan: Loan, offsets: [Int]) {
    guard let memory = group.nodeMemory else { preconditionFailure("\(group.name): no memory is shared") }
    let lent = arrays.map { array in
      if memory.offset(of: array.pointer) != nil { return array }
      let copy = array.device.lending { Tensor(array.shape, array.dtype, on: array.device) }
      copyRows(array, into: copy)
      return copy
    }
    let offsets = lent.map { array in
      guard let offset = memory.offset(of: array.pointer) else {
        preconditionFailure("\(group.name): a device that does not lend to this world")
      }
      return offset
    }
    let loan = endingJob { () throws(CommunicationError) in
      try group.lend(lent.map(\.storage), to: readers)
    }
    return (loan, offsets)
  }

  /// - Parameter bytes: of the rows that the reader takes.
  mutating func offer(_ loan: Loan, _ numbers: [Int], to peer: Int, standingFor bytes: Int) {
    requests += endingJob { () throws(CommunicationError) in
      [try group.offer(loan, numbers, to: peer, tag: 0, standingFor: bytes, purpose)]
    }
  }

  mutating func askForLoan(of peer: Int, numbers: Int, standingFor bytes: Int) -> LoanNote {
    let note = endingJob { () throws(CommunicationError) in
      try group.askForLoan(of: peer, numbers: numbers, tag: 0, standingFor: bytes, purpose)
    }
    requests.append(note.request)
    return note
  }

  private func endingJob<Result>(_ body: () throws(CommunicationError) -> Result) -> Result {
    do { return try body() } catch { group.endJob(error) }
  }
}
