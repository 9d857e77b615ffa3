internal import Synchronization

/// Memory of the node instead of messages: what a rank lends, others read where it lies.
extension Communicator {
  /// What this rank can lend; nil where it is alone on its node, or where these send messages only.
  package var nodeMemory: NodeMemory? { endpoint.memory }

  /// Why ranks of one node do not read each other's memory, and on which of them; nil where all do.
  package var nodeMemoryFault: String? { endpoint.memoryFault }

  /// Whether that rank and this one read each other's loans: they are two of one node, which shares memory.
  package func sharesMemory(with peer: Int) -> Bool {
    endpoint.memory?.isShared(with: worldRanks[peer]) ?? false
  }

  /// Keeps `owners` of memory for `peers`: each of them is then told of it by ``offer(_:_:to:tag:standingFor:_:)``.
  ///
  /// - Throws: `CommunicationError.loans` where too many are out, and none comes back in time.
  package func lend(_ owners: [AnyObject], to peers: [Int]) throws(CommunicationError) -> Loan {
    guard let memory = endpoint.memory else { preconditionFailure("the ranks of \(name) share no memory") }
    let (start, ranks) = (ContinuousClock.now, peers.map { worldRanks[$0] })
    while true {
      if let loan = memory.lend(owners, to: ranks) { return loan }
      let seconds = (ContinuousClock.now - start).inSeconds
      guard seconds < endpoint.timeout else {
        throw .loans(
          "all \(SharedSegment.slots) loans of a rank are out to \(Self.list(memory.lateReaders)), and none came back "
            + "in \(CommunicationError.rounded(seconds)) s")
      }
      try poll()
      Request.pause(after: seconds)
    }
  }

  /// As in "rank 3" and "ranks 3, 5".
  static func list(_ ranks: [Int]) -> String {
    (ranks.count == 1 ? "rank " : "ranks ") + ranks.map(String.init).joined(separator: ", ")
  }

  /// Tells a rank of a loan whose bytes are written.
  ///
  /// - Parameters:
  ///   - numbers: of the caller's, as many as the reader expects, such as where something lies.
  ///   - bytes: what the reader gets by it: they are counted, and this message's own are not.
  package func offer(
    _ loan: Loan, _ numbers: [Int], to peer: Int, tag: Int, standingFor bytes: Int, _ purpose: Purpose
  ) throws(CommunicationError) -> Request {
    let note = Buffer([loan.slot, loan.number] + numbers)
    let target = worldRanks[peer]
    // What was written comes before the message, whatever carries that.
    atomicMemoryFence(ordering: .releasing)
    let description = endpoint.describe(.send, peer: target, bytes: bytes, communicator: name, purpose)
    let message = try Message.send(
      UnsafeRawBufferPointer(note.bytes), to: Address(peer: target, context: context, tag: tag), description,
      of: endpoint)
    return Request(message, owner: note, of: endpoint)
  }

  /// Asks to be told of a loan.
  ///
  /// - Parameters:
  ///   - numbers: how many come with it.
  ///   - bytes: what there is to be read.
  package func askForLoan(
    of peer: Int, numbers: Int, tag: Int, standingFor bytes: Int, _ purpose: Purpose
  ) throws(CommunicationError) -> LoanNote {
    let note = Buffer(count: (2 + numbers) * MemoryLayout<Int>.stride)
    let source = worldRanks[peer]
    let description = endpoint.describe(.receive, peer: source, bytes: bytes, communicator: name, purpose)
    let message = try Message.receive(
      note.bytes, from: Address(peer: source, context: context, tag: tag), description, of: endpoint)
    return LoanNote(Request(message, owner: note, of: endpoint), note, of: endpoint, source: source)
  }
}

/// What another rank is going to tell of its loan.
package struct LoanNote {
  /// To be waited for.
  package let request: Request
  private let note: Buffer
  private let endpoint: Endpoint
  /// In the world.
  private let source: Int

  init(_ request: Request, _ note: Buffer, of endpoint: Endpoint, source: Int) {
    (self.request, self.note, self.endpoint, self.source) = (request, note, endpoint, source)
  }

  /// After the wait, once: the memory, and the numbers that came with it.
  package func open() -> (memory: Borrowed, numbers: [Int]) {
    guard let memory = endpoint.memory else { preconditionFailure("a loan where no memory is shared") }
    atomicMemoryFence(ordering: .acquiring)
    let numbers: [Int] = note.elements()
    let loan = Loan(slot: numbers[0], number: numbers[1])
    return (memory.borrow(loan, from: source), Array(numbers.dropFirst(2)))
  }
}
