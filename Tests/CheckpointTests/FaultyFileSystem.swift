import Checkpoint
import Foundation
import Synchronization

/// A file system on which a save can be stopped or made to fail at any of its operations.
///
/// It only notes `fsync`: nobody pulls the plug during the tests, and thousands of real ones take minutes.
final class FaultyFileSystem: FileSystem {
  enum Fault {
    /// The process is killed during this operation: a write gets half way, nothing happens afterwards.
    case killed(at: Int)
    /// This operation fails with an `errno`, everything else works.
    case failing(at: Int, Int32)
    /// Every write fails from this operation on, as on a full disk; removing works.
    case full(from: Int)
    /// A write takes at most this many bytes.
    case shortWrites(Int)
    case none
  }

  private struct State {
    var operations: [String] = []
    var dead = false
  }

  private let fault: Fault
  private let disk = PosixFileSystem()
  private let state = Mutex(State())

  init(_ fault: Fault = .none) { self.fault = fault }

  /// What was done, in order: "rename .step-1.partial".
  var operations: [String] { state.withLock { $0.operations } }

  /// Counts an operation. Throws instead of letting it happen; true if it happens half.
  private func begin(
    _ verb: String, _ path: String, takesSpace: Bool = false
  ) throws(CheckpointError) -> Bool {
    let name = path.split(separator: "/").suffix(1).joined()
    let (number, dead) = state.withLock { state in
      if !state.dead { state.operations.append("\(verb) \(name)") }
      return (state.operations.count - 1, state.dead)
    }
    func failure(_ code: Int32) -> CheckpointError {
      CheckpointError(.system(code), path: path, "cannot \(verb): \(String(cString: strerror(code)))")
    }
    if dead { throw failure(EOWNERDEAD) }
    switch fault {
    case .killed(at: number):
      state.withLock { $0.dead = true }
      if verb == "write" { return true }
      throw failure(EOWNERDEAD)
    case .failing(at: number, let code): throw failure(code)
    case .full(from: let first) where number >= first && takesSpace: throw failure(ENOSPC)
    default: return false
    }
  }

  func makeDirectory(_ path: String) throws(CheckpointError) {
    _ = try begin("mkdir", path, takesSpace: true)
    try disk.makeDirectory(path)
  }

  func create(_ path: String) throws(CheckpointError) -> OpenFile {
    _ = try begin("create", path, takesSpace: true)
    return try disk.create(path)
  }

  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile) throws(CheckpointError) -> Int {
    let half = try begin("write", file.path, takesSpace: true)
    var limit = half ? bytes.count / 2 : bytes.count
    if case .shortWrites(let most) = fault { limit = min(limit, most) }
    let count = try disk.write(UnsafeRawBufferPointer(rebasing: bytes[..<limit]), to: file)
    if half { throw CheckpointError(.system(EOWNERDEAD), path: file.path, "killed") }
    return count
  }

  func synchronize(_ file: OpenFile) throws(CheckpointError) {
    _ = try begin("fsync", file.path)
  }

  func close(_ file: OpenFile) throws(CheckpointError) {
    try disk.close(file)  // even of a killed process the system closes the files
    _ = try begin("close", file.path)
  }

  func rename(_ path: String, to newPath: String) throws(CheckpointError) {
    _ = try begin("rename", path)
    try disk.rename(path, to: newPath)
  }

  func synchronizeDirectory(_ path: String) throws(CheckpointError) {
    _ = try begin("fsync", path)
  }

  func removeFile(_ path: String) throws(CheckpointError) {
    _ = try begin("unlink", path)
    try disk.removeFile(path)
  }

  func removeDirectory(_ path: String) throws(CheckpointError) {
    _ = try begin("rmdir", path)
    try disk.removeDirectory(path)
  }
}

/// Every file is `/dev/full`: the system itself says that the disk is full.
struct FullDevice: FileSystem {
  private let disk = PosixFileSystem()

  func makeDirectory(_ path: String) throws(CheckpointError) { try disk.makeDirectory(path) }
  func create(_ path: String) throws(CheckpointError) -> OpenFile {
    try disk.close(try disk.create(path))
    return OpenFile(descriptor: open("/dev/full", O_WRONLY), path: path)
  }
  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile) throws(CheckpointError) -> Int {
    try disk.write(bytes, to: file)
  }
  func synchronize(_ file: OpenFile) throws(CheckpointError) { try disk.synchronize(file) }
  func close(_ file: OpenFile) throws(CheckpointError) { try disk.close(file) }
  func rename(_ path: String, to newPath: String) throws(CheckpointError) {
    try disk.rename(path, to: newPath)
  }
  func synchronizeDirectory(_ path: String) throws(CheckpointError) { try disk.synchronizeDirectory(path) }
  func removeFile(_ path: String) throws(CheckpointError) { try disk.removeFile(path) }
  func removeDirectory(_ path: String) throws(CheckpointError) { try disk.removeDirectory(path) }
}
