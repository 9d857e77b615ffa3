internal import Glibc

/// A file that appears under its name only when it is whole.
///
/// Bytes go to a neighbour with a temporary name; `commit` flushes it to the disk and renames it. A file that
/// is not committed leaves nothing behind.
package final class AtomicFile {
  package let path: String
  private let temporaryPath: String
  private var descriptor: Int32
  private var buffer: [UInt8] = []
  private static let bufferBytes = 1 << 20

  /// - Throws: `FileError` when the neighbour cannot be created.
  package init(_ path: String) throws(FileError) {
    self.path = path
    let temporaryPath = AtomicFile.temporaryPath(for: path)
    self.temporaryPath = temporaryPath
    descriptor = try FileError.check("create", path) {
      open(temporaryPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    }
    buffer.reserveCapacity(AtomicFile.bufferBytes)
  }

  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    unlink(temporaryPath)
  }

  /// The process number keeps two programs that write the same file apart.
  package static func temporaryPath(for path: String) -> String { "\(path).partial-\(getpid())" }

  /// - Throws: `FileError`, for instance when the disk is full.
  package func write(_ bytes: some Sequence<UInt8>) throws(FileError) {
    buffer.append(contentsOf: bytes)
    if buffer.count >= AtomicFile.bufferBytes { try flush() }
  }

  /// Replaces bytes that were written before, from the start of the file on.
  package func rewriteStart(_ bytes: [UInt8]) throws(FileError) {
    try flush()
    try writeAll(bytes) { pointer, count, done in pwrite(self.descriptor, pointer, count, off_t(done)) }
  }

  /// Puts the file under its name. Nothing may be written afterwards.
  package func commit() throws(FileError) {
    try flush()
    try FileError.check("flush to disk", path) { fsync(self.descriptor) }
    try FileError.check("rename into place", path) { rename(self.temporaryPath, self.path) }
    close(descriptor)
    descriptor = -1
    try AtomicFile.synchronizeDirectory(of: path)
  }

  private func flush() throws(FileError) {
    try writeAll(buffer) { pointer, count, _ in Glibc.write(self.descriptor, pointer, count) }
    buffer.removeAll(keepingCapacity: true)
  }

  private func writeAll(
    _ bytes: [UInt8], _ call: (UnsafeRawPointer, Int, Int) -> Int
  ) throws(FileError) {
    var done = 0
    while done < bytes.count {
      done += try FileError.check("write", path) {
        bytes.withUnsafeBytes { call($0.baseAddress! + done, $0.count - done, done) }
      }
    }
  }

  /// A rename survives a power cut only once the directory itself is on the disk.
  static func synchronizeDirectory(of path: String) throws(FileError) {
    let slash = path.lastIndex(of: "/")
    let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let descriptor = try FileError.check("open directory", directory) {
      open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    }
    defer { close(descriptor) }
    try FileError.check("flush directory", directory) { fsync(descriptor) }
  }
}
