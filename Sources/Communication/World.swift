internal import Glibc

/// All ranks of a job, from the first message to the last. Not `Sendable`: one thread drives a rank.
package final class World {
  /// What can be set.
  package struct Settings: Sendable {
    /// Seconds after which a wait gives up.
    package var timeout: Double
    /// The most bytes that travel in one piece, the same on all ranks; nil: what suits the transport.
    package var largestChunk: Int?

    /// Seconds between two turns of the thread that moves messages while kernels run; nil: nothing moves them then.
    package var motorInterval: Double?

    package init(timeout: Double = 600, largestChunk: Int? = nil, motorInterval: Double? = 50e-6) {
      (self.timeout, self.largestChunk, self.motorInterval) = (timeout, largestChunk, motorInterval)
    }
  }

  package let communicator: Communicator
  private let endpoint: Endpoint

  /// - Parameters:
  ///   - node: a number that only the ranks of the same node give.
  ///   - host: what people call this machine.
  init(
    transport: any Transport, node: Int, host: String, settings: Settings, board: WaitBoard = WaitBoard()
  ) throws(CommunicationError) {
    endpoint = Endpoint(transport: transport, settings: settings, board: board)
    board.name("rank \(transport.rank) of \(transport.size) (\(host), process \(getpid()))")
    let ranks = Array(0..<transport.size)
    communicator = Communicator(name: "world", worldRanks: ranks, context: 0, endpoint: endpoint)
    let purpose = Purpose("start", .control)
    let given = try communicator.allGather(Buffer([node]).elements() + Array(host.utf8), purpose)
    endpoint.hosts = given.map { String(decoding: $0.dropFirst(8), as: UTF8.self) }
    // By first appearance, so that nodes count from 0 in the order of ranks.
    var numbers: [[UInt8]: Int] = [:]
    endpoint.nodes = given.map { answer in
      let number = numbers[Array(answer.prefix(8)), default: numbers.count]
      numbers[Array(answer.prefix(8))] = number
      return number
    }
    endpoint.counters = TrafficCounters()
  }

  /// The last call: no message may be under way, and all ranks come here.
  ///
  /// - Throws: `CommunicationError.unfinished` with the messages that nobody has waited for.
  package func close() throws(CommunicationError) {
    try endpoint.checkAllIsOver()
    try communicator.barrier(Purpose("end", .control))
    try endpoint.transport.close()
  }
}
