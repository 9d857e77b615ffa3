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
    /// Whether ranks of one node may read each other's rows where they lie, if all of them say so.
    package var sharesMemory: Bool
    /// The most bytes that a rank lends in this way; nil: as much as the machine has memory.
    package var lendableBytes: Int?

    package init(
      timeout: Double = 600, largestChunk: Int? = nil, motorInterval: Double? = 50e-6,
      sharesMemory: Bool = true, lendableBytes: Int? = nil
    ) {
      (self.timeout, self.largestChunk, self.lendableBytes) = (timeout, largestChunk, lendableBytes)
      (self.motorInterval, self.sharesMemory) = (motorInterval, sharesMemory)
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
    try shareMemory(settings, purpose)
    endpoint.counters = TrafficCounters()
  }

  /// Lets the ranks of each node read memory of each other, if all of them can.
  private func shareMemory(_ settings: Settings, _ purpose: Purpose) throws(CommunicationError) {
    let (nodes, rank) = (endpoint.nodes, communicator.rank)
    guard Set(nodes).count < nodes.count else { return }
    let ranks = nodes.indices.filter { nodes[$0] == nodes[rank] }
    var fault = settings.sharesMemory ? "" : "communication.shared_memory is false"
    var own: SharedSegment?
    var memory: NodeMemory?
    do throws(SharedSegment.Fault) {
      if settings.sharesMemory, ranks.count > 1 {
        own = try SharedSegment(settings.lendableBytes, ranks: ranks.count)
      }
    } catch {
      fault = error.reason
    }
    let locations = try communicator.allGather(
      Buffer([own?.location ?? .none]).elements() as [UInt8], purpose
    ).map { $0.withUnsafeBytes { $0.loadUnaligned(as: SharedSegment.Location.self) } }
    do throws(SharedSegment.Fault) {
      // Where one has none, it says so itself.
      let isWhole = ranks.allSatisfy { locations[$0].descriptor >= 0 }
      if let own, isWhole {
        memory = try NodeMemory(own, ranks.map { locations[$0] }, ranks: ranks, rank: rank)
      }
    } catch {
      fault = error.reason
    }
    let faults = try communicator.allGather(Array(fault.utf8), purpose).map {
      String(decoding: $0, as: UTF8.self)
    }
    own?.closeFile()
    // Who cannot read the others is not read either.
    if ranks.allSatisfy({ faults[$0].isEmpty }) { endpoint.memory = memory }
    endpoint.memoryFault = faults.firstIndex { !$0.isEmpty }.map { other in
      "rank \(other) on \(endpoint.hosts[other]): \(faults[other])"
    }
  }

  deinit { endpoint.memory?.dropLoans() }

  /// The last call: no message may be under way, and all ranks come here.
  ///
  /// - Throws: `CommunicationError.unfinished` with the messages that nobody has waited for; `.loans` with loans that
  ///   nobody has given back.
  package func close() throws(CommunicationError) {
    try endpoint.checkAllIsOver()
    try communicator.barrier(Purpose("end", .control))
    if let memory = endpoint.memory {
      memory.takeBack()
      let readers = memory.lateReaders
      guard readers.isEmpty else { throw .loans("at the end loans are out to \(Communicator.list(readers))") }
    }
    try endpoint.transport.close()
  }
}
