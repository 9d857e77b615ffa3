internal import CMPI
internal import Glibc

/// The one way to the MPI library: of the threads of a process, one at a time calls it, the driver or the motor.
///
/// `@unchecked Sendable`: handles of MPI are touched only inside `enter`, which holds the lock.
final class MPIGate: @unchecked Sendable {
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  /// A communicator of its own for what concerns the job rather than the work.
  private let alarms: MPI_Comm
  /// The receive of an alarm. It is always under way, so that testing it turns the library whatever else is going on.
  private var alarm: MPI_Request?
  private let alarmText: UnsafeMutablePointer<Int32>
  /// Chunks that are under way.
  private var chunks = 0
  private var changes = 0
  private var isClosed = false

  /// MPI must have been started.
  init() throws(CommunicationError) {
    lock = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    alarmText = .allocate(capacity: 1)
    var copy: MPI_Comm?
    try Self.check("MPI_Comm_dup", MPI_Comm_dup(cmpi_comm_world(), &copy))
    guard let copy else { throw .library(function: "MPI_Comm_dup", code: 0, message: "made no communicator") }
    alarms = copy
    try Self.check("MPI_Comm_set_errhandler", MPI_Comm_set_errhandler(alarms, cmpi_errors_return()))
    try listen()
  }

  /// Runs `body` while no other thread is in the library.
  func enter<Value>(_ body: () throws(CommunicationError) -> Value) throws(CommunicationError) -> Value {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return try body()
  }

  /// Inside of `enter`.
  func addChunks(_ count: Int) {
    chunks += count
    changes += 1
  }

  /// Chunks that are under way, and how often their number has changed.
  var state: (chunks: Int, changes: Int) {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return (chunks, changes)
  }

  /// Lets the library move what can be moved. Returns a rank that has given up.
  func turn() throws(CommunicationError) -> Int? {
    try enter { () throws(CommunicationError) in
      guard !isClosed else { return nil }
      var isThere: Int32 = 0
      try Self.check("MPI_Test", MPI_Test(&alarm, &isThere, cmpi_status_ignore()))
      guard isThere != 0 else { return nil }
      let peer = Int(alarmText.pointee)
      try listen()
      return peer
    }
  }

  private func listen() throws(CommunicationError) {
    try Self.check(
      "MPI_Irecv", MPI_Irecv(alarmText, 4, cmpi_byte(), MPI_ANY_SOURCE, 0, alarms, &alarm))
  }

  /// Tells all others that this rank has given up.
  func raiseAlarm(rank: Int, size: Int) {
    let text = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
    text.pointee = Int32(rank)
    // The job is ending: what fails now has nobody left to tell.
    try? enter { () throws(CommunicationError) in
      for peer in 0..<size where peer != rank {
        var request: MPI_Request?
        try Self.check("MPI_Isend", MPI_Isend(text, 4, cmpi_byte(), Int32(peer), 0, alarms, &request))
      }
    }
  }

  /// No alarm can come any more.
  func close() throws(CommunicationError) {
    try enter { () throws(CommunicationError) in
      isClosed = true
      try Self.check("MPI_Cancel", MPI_Cancel(&alarm))
      try Self.check("MPI_Wait", MPI_Wait(&alarm, cmpi_status_ignore()))
      try Self.check("MPI_Finalize", MPI_Finalize())
    }
  }

  /// The one place where a code of MPI becomes an error.
  static func check(_ function: String, _ code: Int32) throws(CommunicationError) {
    guard code != MPI_SUCCESS else { return }
    var text = [CChar](repeating: 0, count: Int(MPI_MAX_ERROR_STRING))
    var length: Int32 = 0
    _ = MPI_Error_string(code, &text, &length)
    let message = String(decoding: text.prefix(Int(length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    throw .library(function: function, code: Int(code), message: message)
  }

  deinit {
    pthread_mutex_destroy(lock)
    lock.deallocate()
    alarmText.deallocate()
  }
}
