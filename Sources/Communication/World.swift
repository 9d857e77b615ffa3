/// All ranks of a job, from the first message to the last. Not `Sendable`: one thread drives a rank.
package final class World {
  /// What can be set.
  package struct Settings: Sendable {
    /// Seconds after which a wait gives up.
    package var timeout: Double
    /// The most bytes that travel in one piece; nil: as many as the transport can.
    package var largestChunk: Int?

    package init(timeout: Double = 600, largestChunk: Int? = nil) {
      (self.timeout, self.largestChunk) = (timeout, largestChunk)
    }
  }

  package let communicator: Communicator
  private let endpoint: Endpoint

  /// - Parameters:
  ///   - node: a number that only the ranks of the same node give.
  ///   - host: what people call this machine.
  package init(
    transport: any Transport, node: Int, host: String, settings: Settings
  ) throws(CommunicationError) {
    endpoint = Endpoint(transport: transport, settings: settings)
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
  package func close() throws(CommunicationError) { try endpoint.close() }
}
