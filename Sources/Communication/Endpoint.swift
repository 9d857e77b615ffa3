/// What the communicators and requests of one rank share.
final class Endpoint {
  let transport: any Transport
  let board: WaitBoard
  let timeout: Double
  let largestChunk: Int
  /// By rank of the world; a node is named by a number from 0.
  var hosts: [String]
  var nodes: [Int]
  /// What the ranks of this node read of each other; nil where they only send messages.
  var memory: NodeMemory?
  /// The first rank that could not share memory with its node's, and why.
  var memoryFault: String?
  var counters = TrafficCounters()
  /// What is being recorded; nil while nothing is.
  var events: [MessageEvent]?
  /// The next context that no communicator of this rank has.
  var nextContext = 1
  /// Requests that have begun and not ended.
  private var underWay: [Int: [MessageDescription]] = [:]
  /// Messages whose requests were dropped, and the memory that the transport may still write to.
  private var abandoned: [MessageDescription] = []
  private var kept: [AnyObject] = []
  private var requests = 0

  init(transport: any Transport, settings: World.Settings, board: WaitBoard) {
    precondition(settings.timeout > 0, "a timeout of \(settings.timeout) s")
    (self.transport, self.board) = (transport, board)
    timeout = settings.timeout
    largestChunk = min(settings.largestChunk ?? transport.usualChunk, transport.largestChunk)
    precondition(largestChunk > 0, "chunks of \(largestChunk) bytes")
    hosts = [String](repeating: "?", count: transport.size)
    nodes = [Int](repeating: 0, count: transport.size)
  }

  func begin(_ messages: [MessageDescription]) -> Int {
    requests += 1
    underWay[requests] = messages
    return requests
  }

  func end(_ request: Int) { underWay[request] = nil }

  /// Gives up what a request had under way: an error passes by, or somebody forgot to wait.
  func abandon(_ request: Int, _ transfer: any Transfer, owner: AnyObject?) {
    abandoned += transfer.pending
    underWay[request] = nil
    if !transfer.cancel(transport), let owner { kept.append(owner) }
  }

  /// Counts, and records, a wait that nothing was computed in.
  /// - Parameter awaited: what was waited for first.
  func exposed(_ awaited: MessageDescription?, since start: ContinuousClock.Instant) {
    let end = ContinuousClock.now
    counters.addExposed(awaited?.purpose.kind ?? .control, seconds: (end - start).inSeconds)
    if let awaited { events?.append(MessageEvent(.waited, awaited, start, end)) }
  }

  /// Counts, and records, a message to another rank.
  func sent(_ message: MessageDescription) {
    let isNear = nodes[message.peer] == nodes[transport.rank]
    counters.count(message.purpose.kind, bytes: message.bytes, withinNode: isNear)
    let now = ContinuousClock.now
    events?.append(MessageEvent(.sent, message, now, now))
  }

  func describe(
    _ direction: MessageDescription.Direction, peer: Int, bytes: Int, communicator: String, _ purpose: Purpose
  ) -> MessageDescription {
    MessageDescription(
      direction: direction, purpose: purpose, communicator: communicator, rank: transport.rank,
      host: hosts[transport.rank], peer: peer, peerHost: hosts[peer], bytes: bytes)
  }

  func checkAllIsOver() throws(CommunicationError) {
    let unfinished = abandoned + underWay.sorted { $0.key < $1.key }.flatMap(\.value)
    guard unfinished.isEmpty else { throw .unfinished(unfinished) }
  }
}
