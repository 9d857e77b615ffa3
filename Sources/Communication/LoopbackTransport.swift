internal import Foundation
internal import Synchronization

/// Ranks that are threads of one process, with mailboxes between them: the whole protocol without mpirun.
///
/// A send is never done before its receive is posted, as MPI does it with long messages: a program that relies on
/// buffers stands still here too.
package final class LoopbackTransport: Transport {
  package let rank: Int
  package let size: Int
  /// As with MPI.
  package let largestChunk = 1 << 30
  package let usualChunk = 1 << 30
  private let post: PostOffice

  private init(rank: Int, size: Int, post: PostOffice) {
    (self.rank, self.size, self.post) = (rank, size, post)
  }

  /// Makes the ends of `ranks` ranks on demand; each must be used by one thread only.
  static func ends(ranks: Int, post: PostOffice) -> @Sendable (Int) -> LoopbackTransport {
    { LoopbackTransport(rank: $0, size: ranks, post: post) }
  }

  /// A world of one rank.
  static func alone() -> LoopbackTransport {
    LoopbackTransport(rank: 0, size: 1, post: PostOffice())
  }

  /// Mailboxes know contexts by their numbers.
  package func openContext(_ context: Int, members: [Int]) {}

  package func send(_ bytes: UnsafeRawBufferPointer, to address: Address) -> Ticket {
    let key = Mailbox(from: rank, to: address.peer, context: address.context, tag: address.tag)
    return post.send(Outgoing(bytes: bytes), to: key)
  }

  package func receive(_ bytes: UnsafeMutableRawBufferPointer, from address: Address) -> Ticket {
    let key = Mailbox(from: address.peer, to: rank, context: address.context, tag: address.tag)
    return post.receive(Incoming(bytes: bytes), from: key)
  }

  package func delivery(of ticket: Ticket) throws(CommunicationError) -> Delivery {
    try post.delivery(of: ticket, askedBy: rank)
  }

  package func cancel(_ ticket: Ticket) -> Bool {
    post.cancel(ticket)
    return true
  }

  /// Chunks are copied when their second half is posted.
  package func progress() {}

  package func close() {}

  /// The others have their own limits, and the process stays.
  package func raiseAlarm() {}

  package func abort(code: Int32) -> Never { exit(code) }
}

/// Where a chunk waits for its other half.
struct Mailbox: Hashable { var from: Int, to: Int, context: Int, tag: Int }

/// `@unchecked Sendable`: memory that its rank has lent to the post office, which touches it with its lock held and
/// only until the ticket is done or given up.
struct Outgoing: @unchecked Sendable { let bytes: UnsafeRawBufferPointer }
/// As `Outgoing`.
struct Incoming: @unchecked Sendable { let bytes: UnsafeMutableRawBufferPointer }

/// The mailboxes between the ranks of a process.
final class PostOffice: Sendable {
  private struct State {
    var outgoing: [Mailbox: [(ticket: Int, chunk: Outgoing)]] = [:]
    var incoming: [Mailbox: [(ticket: Int, chunk: Incoming)]] = [:]
    var done: [Int: Delivery] = [:]
    var tickets = 0
    var failure: (rank: Int, reason: String)?
  }
  private let state = Mutex(State())

  func send(_ chunk: Outgoing, to box: Mailbox) -> Ticket {
    state.withLock { state in
      let ticket = state.tickets
      state.tickets += 1
      if let other = Self.takeFirst(&state.incoming, of: box) {
        let delivery = Self.copy(chunk, to: other.chunk)
        state.done[ticket] = .done(bytes: chunk.bytes.count)
        state.done[other.ticket] = delivery
      } else {
        state.outgoing[box, default: []].append((ticket, chunk))
      }
      return Ticket(ticket)
    }
  }

  func receive(_ chunk: Incoming, from box: Mailbox) -> Ticket {
    state.withLock { state in
      let ticket = state.tickets
      state.tickets += 1
      if let other = Self.takeFirst(&state.outgoing, of: box) {
        state.done[ticket] = Self.copy(other.chunk, to: chunk)
        state.done[other.ticket] = .done(bytes: other.chunk.bytes.count)
      } else {
        state.incoming[box, default: []].append((ticket, chunk))
      }
      return Ticket(ticket)
    }
  }

  func delivery(of ticket: Ticket, askedBy rank: Int) throws(CommunicationError) -> Delivery {
    let (delivery, failure) = state.withLock {
      ($0.done.removeValue(forKey: ticket.number), $0.failure)
    }
    if let delivery { return delivery }
    if let failure, failure.rank != rank {
      throw .peerFailed(rank: failure.rank, reason: failure.reason)
    }
    return .underWay
  }

  func cancel(_ ticket: Ticket) {
    state.withLock { state in
      state.done[ticket.number] = nil
      for box in state.outgoing.keys { state.outgoing[box]?.removeAll { $0.ticket == ticket.number } }
      for box in state.incoming.keys { state.incoming[box]?.removeAll { $0.ticket == ticket.number } }
    }
  }

  /// Ends the waits of the other ranks, as the end of a process of an MPI job does; the first failure counts.
  func fail(rank: Int, reason: String) {
    state.withLock { if $0.failure == nil { $0.failure = (rank, reason) } }
  }

  private static func takeFirst<Chunk>(
    _ queues: inout [Mailbox: [(ticket: Int, chunk: Chunk)]], of box: Mailbox
  ) -> (ticket: Int, chunk: Chunk)? {
    guard var queue = queues[box], !queue.isEmpty else { return nil }
    let first = queue.removeFirst()
    queues[box] = queue.isEmpty ? nil : queue
    return first
  }

  private static func copy(_ source: Outgoing, to target: Incoming) -> Delivery {
    guard source.bytes.count <= target.bytes.count else { return .tooLong }
    UnsafeMutableRawBufferPointer(rebasing: target.bytes[..<source.bytes.count]).copyMemory(
      from: source.bytes)
    return .done(bytes: source.bytes.count)
  }
}
