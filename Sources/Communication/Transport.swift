/// Where a chunk goes, or comes from.
package struct Address: Hashable, Sendable {
  /// Rank of the world.
  package var peer: Int
  /// The communicator: messages of different contexts never meet.
  package var context: Int
  package var tag: Int

  package init(peer: Int, context: Int, tag: Int) {
    (self.peer, self.context, self.tag) = (peer, context, tag)
  }
}

/// The name of a chunk under way, on the rank that posted it.
package struct Ticket: Hashable, Sendable {
  package var number: Int
  package init(_ number: Int) { self.number = number }
}

/// How far a chunk has come.
package enum Delivery: Hashable, Sendable {
  case underWay
  /// The memory belongs to the caller again; so many bytes travelled.
  case done(bytes: Int)
  /// More was sent than there is room for: the memory holds nothing of use.
  case tooLong
}

/// One rank's way to the others: chunks of bytes, matched by address in the order of posting.
///
/// Nothing here waits. A chunk that is sent may stay under way until its receive is posted.
package protocol Transport: AnyObject {
  /// This rank, and the number of ranks of the world.
  var rank: Int { get }
  var size: Int { get }
  /// The most bytes of one chunk, and how many suit it best.
  var largestChunk: Int { get }
  var usualChunk: Int { get }

  /// Makes a context known that these ranks of the world share; every one of them calls this. Context 0 is the world.
  func openContext(_ context: Int, members: [Int]) throws(CommunicationError)

  /// Starts to send; the memory must stay as it is until the delivery is done.
  func send(_ bytes: UnsafeRawBufferPointer, to address: Address) throws(CommunicationError) -> Ticket

  /// Starts to receive; the memory belongs to the transport until the delivery is done.
  func receive(
    _ bytes: UnsafeMutableRawBufferPointer, from address: Address
  ) throws(CommunicationError) -> Ticket

  /// Moves what can be moved and says how far this chunk is. A ticket ends with the answer that it is no longer
  /// under way.
  func delivery(of ticket: Ticket) throws(CommunicationError) -> Delivery

  /// Gives a chunk up. False where it can no longer be stopped: its memory must then live as long as the process.
  func cancel(_ ticket: Ticket) -> Bool

  /// Moves what can be moved.
  func progress() throws(CommunicationError)

  /// After the last message.
  func close() throws(CommunicationError)

  /// Tells the other ranks that this one has given up, so that they print what they wait for.
  func raiseAlarm()

  /// Ends the process, and with it the job; `report` has been printed.
  func abort(code: Int32) -> Never
}
