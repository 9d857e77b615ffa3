/// Ranks that exchange messages. Not `Sendable`: it belongs to the thread that drives its rank.
///
/// Requests match by sender, tag and order of posting. Collectives match by order: every rank of the communicator
/// calls the same ones in the same order. A send may stay under way until its receive is posted.
package final class Communicator {
  /// For people: what these ranks do together.
  package let name: String
  /// This rank's place in the group.
  package let rank: Int
  /// The members' ranks in the world, by their rank here.
  package let worldRanks: [Int]
  let endpoint: Endpoint
  let context: Int
  private var collectives = 0

  /// Tags of callers are below; above are those of collectives. MPI libraries guarantee less than they have: the
  /// smallest upper limit of those in use is 2²³ - 1.
  package static let tags = 0..<1 << 22

  package var size: Int { worldRanks.count }

  /// The members' nodes: numbers from 0, in the order of the ranks of the world.
  package var nodes: [Int] { worldRanks.map { endpoint.nodes[$0] } }

  /// The members' hosts.
  package var hosts: [String] { worldRanks.map { endpoint.hosts[$0] } }

  /// What this rank has sent since the world was opened, over all communicators.
  package var counters: TrafficCounters { endpoint.counters }

  init(name: String, worldRanks: [Int], context: Int, endpoint: Endpoint) {
    guard let rank = worldRanks.firstIndex(of: endpoint.transport.rank) else {
      preconditionFailure("rank \(endpoint.transport.rank) is not one of \(worldRanks)")
    }
    (self.name, self.rank, self.worldRanks) = (name, rank, worldRanks)
    (self.context, self.endpoint) = (context, endpoint)
  }

  /// Starts to send `bytes`, of any length, to a rank of this communicator, itself included.
  ///
  /// - Parameters:
  ///   - tag: one of `tags`; names the message, so that two between the same ranks cannot be confused.
  ///   - owner: what the bytes belong to: kept until the request is over.
  /// - Throws: `CommunicationError` when the library fails.
  package func send(
    _ bytes: UnsafeRawBufferPointer, to peer: Int, tag: Int, owner: AnyObject?, _ purpose: Purpose
  ) throws(CommunicationError) -> Request {
    precondition(Self.tags.contains(tag), "tag \(tag) is none of \(Self.tags)")
    return Request(try sending(bytes, to: peer, tag: tag, purpose), owner: owner, of: endpoint)
  }

  /// Starts to receive exactly `bytes.count` bytes from a rank of this communicator.
  ///
  /// - Throws: `CommunicationError` when the library fails.
  package func receive(
    _ bytes: UnsafeMutableRawBufferPointer, from peer: Int, tag: Int, owner: AnyObject?, _ purpose: Purpose
  ) throws(CommunicationError) -> Request {
    precondition(Self.tags.contains(tag), "tag \(tag) is none of \(Self.tags)")
    return Request(try receiving(bytes, from: peer, tag: tag, purpose), owner: owner, of: endpoint)
  }

  /// Says what this rank is at: people read it when a wait has no end. Empty for nothing of interest.
  package func isDoing(_ activity: String) { endpoint.board.isDoing(activity) }

  /// Moves what can be moved, without waiting: for a driver with a moment between two kernels.
  package func poll() throws(CommunicationError) { try endpoint.transport.progress() }

  func sending(
    _ bytes: UnsafeRawBufferPointer, to peer: Int, tag: Int, _ purpose: Purpose
  ) throws(CommunicationError) -> Message {
    let target = worldRanks[peer]
    let description = endpoint.describe(
      .send, peer: target, bytes: bytes.count, communicator: name, purpose)
    return try .send(bytes, to: Address(peer: target, context: context, tag: tag), description, of: endpoint)
  }

  func receiving(
    _ bytes: UnsafeMutableRawBufferPointer, from peer: Int, tag: Int, _ purpose: Purpose
  ) throws(CommunicationError) -> Message {
    let source = worldRanks[peer]
    let description = endpoint.describe(
      .receive, peer: source, bytes: bytes.count, communicator: name, purpose)
    return try .receive(
      bytes, from: Address(peer: source, context: context, tag: tag), description, of: endpoint)
  }

  /// The tag of the next collective.
  func nextTag() -> Int {
    collectives += 1
    return Self.tags.upperBound + collectives % Self.tags.count
  }

  /// The others, in an order that lets every rank begin with another one: the sender's is rank + 1, rank + 2, …
  var targets: [Int] { (1..<max(size, 1)).map { (rank + $0) % size } }
  /// The order in which the others' messages come when all follow `targets`.
  var sources: [Int] { (1..<max(size, 1)).map { (rank + size - $0) % size } }
}
