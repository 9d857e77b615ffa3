/// What goes wrong between ranks, by a seed: what is delayed, and for how long, does not depend on the run.
package struct Faults: Sendable {
  package var seed: UInt64
  /// A chunk is sent, and told to have come, after 0 to so many looks at the transport, each drawn by itself: chunks of
  /// different addresses overtake each other.
  package var longestDelay: Int
  /// Ranks that go silent: they live, but nothing leaves them and nothing reaches them.
  package var silentRanks: Set<Int>
  /// How many chunks such a rank posts before.
  package var silentAfter: Int

  package init(seed: UInt64, longestDelay: Int = 0, silentRanks: Set<Int> = [], silentAfter: Int = 0) {
    (self.seed, self.longestDelay) = (seed, longestDelay)
    (self.silentRanks, self.silentAfter) = (silentRanks, silentAfter)
  }
}

/// Another transport, with faults.
package final class FaultyTransport: Transport {
  private enum State {
    /// On its way in the transport below; told of from a turn on.
    case posted(Ticket, tellFrom: Int)
    case held
    case lost
  }
  /// A send that has not been passed on.
  private struct Held {
    let ticket: Ticket
    let bytes: UnsafeRawBufferPointer
    let address: Address
    let dueAt: Int
  }

  private let inner: any Transport
  private let faults: Faults
  private var states: [Ticket: State] = [:]
  private var held: [Held] = []
  private var posted = 0
  private var turns = 0

  package init(_ inner: any Transport, _ faults: Faults) {
    precondition(faults.longestDelay >= 0, "a delay of \(faults.longestDelay) looks")
    (self.inner, self.faults) = (inner, faults)
  }

  package var rank: Int { inner.rank }
  package var size: Int { inner.size }
  package var largestChunk: Int { inner.largestChunk }
  package var usualChunk: Int { inner.usualChunk }

  package func openContext(_ context: Int, members: [Int]) throws(CommunicationError) {
    try inner.openContext(context, members: members)
  }

  package func send(
    _ bytes: UnsafeRawBufferPointer, to address: Address
  ) throws(CommunicationError) -> Ticket {
    guard let ticket = nextTicket() else { return lostTicket() }
    held.append(Held(ticket: ticket, bytes: bytes, address: address, dueAt: turns + delay(ticket, 0)))
    states[ticket] = .held
    try passOn()
    return ticket
  }

  package func receive(
    _ bytes: UnsafeMutableRawBufferPointer, from address: Address
  ) throws(CommunicationError) -> Ticket {
    guard let ticket = nextTicket() else { return lostTicket() }
    states[ticket] = .posted(try inner.receive(bytes, from: address), tellFrom: turns + delay(ticket, 1))
    return ticket
  }

  package func delivery(of ticket: Ticket) throws(CommunicationError) -> Delivery {
    try progress()
    guard case .posted(let below, let tellFrom)? = states[ticket], turns >= tellFrom else { return .underWay }
    let delivery = try inner.delivery(of: below)
    if delivery != .underWay { states[ticket] = nil }
    return delivery
  }

  package func cancel(_ ticket: Ticket) -> Bool {
    held.removeAll { $0.ticket == ticket }
    guard case .posted(let below, _)? = states.removeValue(forKey: ticket) else { return true }
    return inner.cancel(below)
  }

  package func progress() throws(CommunicationError) {
    turns += 1
    try passOn()
    try inner.progress()
  }

  package func close() throws(CommunicationError) { try inner.close() }

  package func raiseAlarm() { inner.raiseAlarm() }

  package func abort(code: Int32) -> Never { inner.abort(code: code) }

  /// Sends what is due, and nothing before what was posted earlier for the same address.
  private func passOn() throws(CommunicationError) {
    var blocked: Set<Address> = []
    var kept: [Held] = []
    for chunk in held {
      guard chunk.dueAt <= turns, !blocked.contains(chunk.address) else {
        blocked.insert(chunk.address)
        kept.append(chunk)
        continue
      }
      let below = try inner.send(chunk.bytes, to: chunk.address)
      states[chunk.ticket] = .posted(below, tellFrom: turns + delay(chunk.ticket, 2))
    }
    held = kept
  }

  /// nil once this rank is silent.
  private func nextTicket() -> Ticket? {
    posted += 1
    if faults.silentRanks.contains(rank), posted > faults.silentAfter { return nil }
    return Ticket(posted)
  }

  private func lostTicket() -> Ticket {
    states[Ticket(posted)] = .lost
    return Ticket(posted)
  }

  /// 0...longestDelay, by seed, rank, chunk and what is delayed.
  private func delay(_ ticket: Ticket, _ what: Int) -> Int {
    var bits = faults.seed
    for number in [rank, ticket.number, what] {
      // SplitMix64: every bit of the input reaches every bit of the output.
      bits &+= UInt64(number) &+ 0x9E37_79B9_7F4A_7C15
      bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
      bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
      bits ^= bits >> 31
    }
    return Int(bits % UInt64(faults.longestDelay + 1))
  }
}
