import Checkpoint
import Foundation
import Synchronization

/// A disk whose writes, or removals, wait until it is opened, and whose writes then may fail.
final class GatedDisk: FileSystem {
  enum Gate { case writes, removals }
  private let disk = PosixFileSystem()
  private let isOpen = Mutex(false)
  private let gate: Gate
  private let code: Int32?

  init(_ gate: Gate = .writes, failing code: Int32? = nil) { (self.gate, self.code) = (gate, code) }

  func open() { isOpen.withLock { $0 = true } }

  /// Opens it a while later.
  func open(after seconds: Double) {
    Thread.detachNewThread {
      Thread.sleep(forTimeInterval: seconds)
      self.open()
    }
  }

  private func pass(_ gate: Gate) {
    while gate == self.gate, !isOpen.withLock({ $0 }) { usleep(1000) }
  }

  func makeDirectory(_ path: String) throws(CheckpointError) { try disk.makeDirectory(path) }
  func create(_ path: String) throws(CheckpointError) -> OpenFile { try disk.create(path) }
  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile) throws(CheckpointError) -> Int {
    if file.path.hasSuffix(".safetensors") { pass(.writes) }
    if let code { throw CheckpointError(.system(code), path: file.path, "cannot write: as the test says") }
    return try disk.write(bytes, to: file)
  }
  func synchronize(_ file: OpenFile) throws(CheckpointError) { try disk.synchronize(file) }
  func close(_ file: OpenFile) throws(CheckpointError) { try disk.close(file) }
  func rename(_ path: String, to newPath: String) throws(CheckpointError) {
    try disk.rename(path, to: newPath)
  }
  func synchronizeDirectory(_ path: String) throws(CheckpointError) { try disk.synchronizeDirectory(path) }
  func removeFile(_ path: String) throws(CheckpointError) {
    if path.hasSuffix(".safetensors") { pass(.removals) }
    try disk.removeFile(path)
  }
  func removeDirectory(_ path: String) throws(CheckpointError) { try disk.removeDirectory(path) }
}
