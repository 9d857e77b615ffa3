internal import CMPI
internal import Glibc

/// Ranks that are processes of an MPI job.
package final class MPITransport: Transport {
  package let rank: Int
  package let size: Int
  /// MPI counts in Int32.
  package let largestChunk = 1 << 30
  package let usualChunk = MPITransport.eagerBytes
  /// The smallest world rank on this machine, which names it.
  package let node: Int
  package let host: String

  /// Chunks of this length go out over TCP without a handshake, which would wait behind the data
  /// of the other direction: docs/distributed.md has measurements.
  private static let eagerBytes = 256 << 10

  private struct Context {
    let handle: MPI_Comm
    /// By rank of the world.
    let members: [Int: Int32]
  }
  private struct Chunk {
    var request: MPI_Request?
    /// Of a send: MPI tells the length of receives only.
    let sent: Int?
  }
  private let gate: MPIGate
  private let motor: Motor
  private var contexts: [Int: Context] = [:]
  private var chunks: [Int: Chunk] = [:]
  private var tickets = 0

  /// Starts MPI and the motor.
  ///
  /// - Parameter interval: of the motor, in seconds.
  /// - Throws: `CommunicationError.startup` or `.library`.
  init(board: WaitBoard, interval: Double?) throws(CommunicationError) {
    Self.prepareLibrary()
    var provided: Int32 = 0
    try MPIGate.check("MPI_Init_thread", MPI_Init_thread(nil, nil, Int32(MPI_THREAD_SERIALIZED), &provided))
    guard provided >= MPI_THREAD_SERIALIZED else {
      throw .startup(
        "this MPI library cannot be called from two threads (MPI_THREAD_SERIALIZED); install another")
    }
    guard let world = cmpi_comm_world() else { throw .startup("MPI has no world") }
    try MPIGate.check("MPI_Comm_set_errhandler", MPI_Comm_set_errhandler(world, cmpi_errors_return()))
    var (rank, size): (Int32, Int32) = (0, 0)
    try MPIGate.check("MPI_Comm_rank", MPI_Comm_rank(world, &rank))
    try MPIGate.check("MPI_Comm_size", MPI_Comm_size(world, &size))
    (self.rank, self.size) = (Int(rank), Int(size))
    node = try Self.firstRankOfNode(world, rank: rank)
    host = try Self.processorName()
    gate = try MPIGate()
    let members = (0..<size).map { (Int($0), $0) }
    contexts[0] = Context(handle: world, members: Dictionary(uniqueKeysWithValues: members))
    motor = Motor(gate: gate, board: board, interval: interval)
  }

  package func openContext(_ context: Int, members: [Int]) throws(CommunicationError) {
    guard let world = contexts[0]?.handle else { preconditionFailure("no world") }
    let handle = try gate.enter { () throws(CommunicationError) in
      var (all, some): (MPI_Group?, MPI_Group?) = (nil, nil)
      var handle: MPI_Comm?
      try MPIGate.check("MPI_Comm_group", MPI_Comm_group(world, &all))
      let ranks = members.map(Int32.init)
      try MPIGate.check("MPI_Group_incl", MPI_Group_incl(all, Int32(ranks.count), ranks, &some))
      try MPIGate.check(
        "MPI_Comm_create_group", MPI_Comm_create_group(world, some, Int32(context), &handle))
      try MPIGate.check("MPI_Group_free", MPI_Group_free(&some))
      try MPIGate.check("MPI_Group_free", MPI_Group_free(&all))
      try MPIGate.check("MPI_Comm_set_errhandler", MPI_Comm_set_errhandler(handle, cmpi_errors_return()))
      return handle
    }
    guard let handle else { throw .library(function: "MPI_Comm_create_group", code: 0, message: "made none") }
    let places = members.enumerated().map { ($1, Int32($0)) }
    contexts[context] = Context(handle: handle, members: Dictionary(uniqueKeysWithValues: places))
  }

  package func send(
    _ bytes: UnsafeRawBufferPointer, to address: Address
  ) throws(CommunicationError) -> Ticket {
    let (handle, peer) = resolve(address)
    return try post(sent: bytes.count) { request throws(CommunicationError) in
      try MPIGate.check(
        "MPI_Isend",
        MPI_Isend(
          bytes.baseAddress, Int32(bytes.count), cmpi_byte(), peer, Int32(address.tag), handle, &request))
    }
  }

  package func receive(
    _ bytes: UnsafeMutableRawBufferPointer, from address: Address
  ) throws(CommunicationError) -> Ticket {
    let (handle, peer) = resolve(address)
    return try post(sent: nil) { request throws(CommunicationError) in
      try MPIGate.check(
        "MPI_Irecv",
        MPI_Irecv(
          bytes.baseAddress, Int32(bytes.count), cmpi_byte(), peer, Int32(address.tag), handle, &request))
    }
  }

  package func delivery(of ticket: Ticket) throws(CommunicationError) -> Delivery {
    guard var chunk = chunks[ticket.number] else { preconditionFailure("no chunk \(ticket.number)") }
    return try gate.enter { () throws(CommunicationError) in
      var isDone: Int32 = 0
      var status = MPI_Status()
      let code = MPI_Test(&chunk.request, &isDone, &status)
      guard code != MPI_SUCCESS || isDone != 0 else { return .underWay }
      chunks[ticket.number] = nil
      gate.addChunks(-1)
      var kind: Int32 = 0
      _ = MPI_Error_class(code, &kind)
      if kind == MPI_ERR_TRUNCATE { return .tooLong }
      try MPIGate.check("MPI_Test", code)
      if let sent = chunk.sent { return .done(bytes: sent) }
      var count: Int32 = 0
      try MPIGate.check("MPI_Get_count", MPI_Get_count(&status, cmpi_byte(), &count))
      return .done(bytes: Int(count))
    }
  }

  /// MPI may go on to use the memory.
  package func cancel(_ ticket: Ticket) -> Bool { false }

  package func progress() throws(CommunicationError) { _ = try gate.turn() }

  package func close() throws(CommunicationError) {
    motor.stop()
    try gate.close()
  }

  package func raiseAlarm() {
    gate.raiseAlarm(rank: rank, size: size)
  }

  package func abort(code: Int32) -> Never {
    _ = MPI_Abort(cmpi_comm_world(), code)
    exit(code)
  }

  /// Returns when it is over; see `Communicator.libraryAllToAll`.
  ///
  /// The call that blocks turns the library and gives its processor away at each turn. Where more ranks than cores
  /// do that beside anything that computes, each turn costs a time slice, and an exchange takes minutes.
  func allToAll(
    _ sent: UnsafeRawBufferPointer, counts: [Int], into received: UnsafeMutableRawBufferPointer,
    arriving: [Int],
    context: Int
  ) throws(CommunicationError) {
    guard let handle = contexts[context]?.handle else { preconditionFailure("no context \(context)") }
    // The library reads the four lists until the end.
    let lists = [counts, Communicator.offsets(counts), arriving, Communicator.offsets(arriving)]
      .map { Buffer($0.map(Int32.init)) }
    let list = lists.map { $0.bytes.bindMemory(to: Int32.self).baseAddress }
    var request = try gate.enter { () throws(CommunicationError) in
      var request: MPI_Request?
      try MPIGate.check(
        "MPI_Ialltoallv",
        MPI_Ialltoallv(
          sent.baseAddress, list[0], list[1], cmpi_byte(), received.baseAddress, list[2], list[3],
          cmpi_byte(), handle, &request))
      return request
    }
    let start = ContinuousClock.now
    var isDone: Int32 = 0
    while isDone == 0 {
      try gate.enter { () throws(CommunicationError) in
        try MPIGate.check("MPI_Test", MPI_Test(&request, &isDone, cmpi_status_ignore()))
      }
      if isDone == 0 { Request.pause(after: (ContinuousClock.now - start).inSeconds) }
    }
    withExtendedLifetime(lists) {}
  }

  private func resolve(_ address: Address) -> (handle: MPI_Comm, peer: Int32) {
    guard let context = contexts[address.context], let peer = context.members[address.peer] else {
      preconditionFailure("nobody is at \(address)")
    }
    return (context.handle, peer)
  }

  private func post(
    sent: Int?, _ start: (inout MPI_Request?) throws(CommunicationError) -> Void
  ) throws(CommunicationError) -> Ticket {
    tickets += 1
    chunks[tickets] = try gate.enter { () throws(CommunicationError) in
      var request: MPI_Request?
      try start(&request)
      gate.addChunks(1)
      return Chunk(request: request, sent: sent)
    }
    motor.wake()
    return Ticket(tickets)
  }

  /// What the library reads when it starts; what the user has set stays.
  private static func prepareLibrary() {
    // A whole chunk with its header passes as an "eager" message.
    setenv("OMPI_MCA_btl_tcp_eager_limit", "\(eagerBytes + 4096)", 0)
    // Each turn of the library would call sched_yield where ranks share cores. Nothing here waits inside the library,
    // and such a call gives a time slice to whatever computes beside, while the gate is held.
    setenv("OMPI_MCA_mpi_yield_when_idle", "0", 0)
  }

  private static func firstRankOfNode(_ world: MPI_Comm, rank: Int32) throws(CommunicationError) -> Int {
    var node: MPI_Comm?
    try MPIGate.check(
      "MPI_Comm_split_type",
      MPI_Comm_split_type(world, Int32(MPI_COMM_TYPE_SHARED), rank, cmpi_info_null(), &node))
    var (all, some): (MPI_Group?, MPI_Group?) = (nil, nil)
    try MPIGate.check("MPI_Comm_group", MPI_Comm_group(world, &all))
    try MPIGate.check("MPI_Comm_group", MPI_Comm_group(node, &some))
    var (first, place): (Int32, Int32) = (0, 0)
    try MPIGate.check("MPI_Group_translate_ranks", MPI_Group_translate_ranks(some, 1, &first, all, &place))
    first = place
    try MPIGate.check("MPI_Group_free", MPI_Group_free(&some))
    try MPIGate.check("MPI_Group_free", MPI_Group_free(&all))
    try MPIGate.check("MPI_Comm_free", MPI_Comm_free(&node))
    return Int(first)
  }

  private static func processorName() throws(CommunicationError) -> String {
    var text = [CChar](repeating: 0, count: Int(MPI_MAX_PROCESSOR_NAME))
    var length: Int32 = 0
    try MPIGate.check("MPI_Get_processor_name", MPI_Get_processor_name(&text, &length))
    return String(decoding: text.prefix(Int(length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
