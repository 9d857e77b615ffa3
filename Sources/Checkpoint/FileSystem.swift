internal import Glibc

/// A file that was created for writing.
package struct OpenFile: Sendable {
  package let descriptor: Int32
  package let path: String

  package init(descriptor: Int32, path: String) { (self.descriptor, self.path) = (descriptor, path) }
}

/// Everything that changes a disk while a checkpoint is saved, one system call a function.
///
/// A protocol so that tests can stop or fail a save at each of these calls.
package protocol FileSystem: Sendable {
  func makeDirectory(_ path: String) throws(CheckpointError)
  /// Creates a file that must not exist yet.
  func create(_ path: String) throws(CheckpointError) -> OpenFile
  /// Blocks of whole pages come next, in memory that begins at a page: they need not go through the page cache.
  func expectBlocks(in file: OpenFile)
  /// Writes some of `bytes`, and returns how many.
  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile) throws(CheckpointError) -> Int
  /// Returns when the file's content is on the disk.
  func synchronize(_ file: OpenFile) throws(CheckpointError)
  func close(_ file: OpenFile) throws(CheckpointError)
  func rename(_ path: String, to newPath: String) throws(CheckpointError)
  /// Returns when the names in a directory are on the disk.
  func synchronizeDirectory(_ path: String) throws(CheckpointError)
  func removeFile(_ path: String) throws(CheckpointError)
  func removeDirectory(_ path: String) throws(CheckpointError)
}

/// The disks of this machine.
package struct PosixFileSystem: FileSystem {
  package init() {}

  /// O_DIRECT, which the C library's headers keep from Swift; 0, no flag, where its value is not known.
  #if arch(x86_64)
    private static let direct: Int32 = 0o40000
  #elseif arch(arm64)
    private static let direct: Int32 = 0o200000
  #else
    private static let direct: Int32 = 0
  #endif

  package func makeDirectory(_ path: String) throws(CheckpointError) {
    try system("create the directory", path) { mkdir(path, 0o777) }
  }

  package func create(_ path: String) throws(CheckpointError) -> OpenFile {
    let descriptor = try system("create the file", path) {
      open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    }
    return OpenFile(descriptor: descriptor, path: path)
  }

  package func expectBlocks(in file: OpenFile) {
    // Without copies into pages that nobody will read. Where the file system does not know it, as before.
    let flags = fcntl(file.descriptor, F_GETFL)
    if flags >= 0 { _ = fcntl(file.descriptor, F_SETFL, flags | Self.direct) }
  }

  package func write(
    _ bytes: UnsafeRawBufferPointer, to file: OpenFile
  ) throws(CheckpointError) -> Int {
    try system("write", file.path) {
      let count = Glibc.write(file.descriptor, bytes.baseAddress, bytes.count)
      guard count < 0, errno == EINVAL else { return count }
      // Directly only in whole sectors: the end of a file, and where a file system wants more than a page.
      let flags = fcntl(file.descriptor, F_GETFL)
      guard flags >= 0, flags & Self.direct != 0, fcntl(file.descriptor, F_SETFL, flags & ~Self.direct) == 0
      else {
        errno = EINVAL
        return -1
      }
      return Glibc.write(file.descriptor, bytes.baseAddress, bytes.count)
    }
  }

  package func synchronize(_ file: OpenFile) throws(CheckpointError) {
    try system("write to the disk (fsync)", file.path) { fsync(file.descriptor) }
  }

  package func close(_ file: OpenFile) throws(CheckpointError) {
    // Not repeated when interrupted: Linux has closed the descriptor by then.
    if Glibc.close(file.descriptor) != 0, errno != EINTR { throw systemError(errno, "close", file.path) }
  }

  package func rename(_ path: String, to newPath: String) throws(CheckpointError) {
    try system("rename to \(newPath)", path) { Glibc.rename(path, newPath) }
  }

  package func synchronizeDirectory(_ path: String) throws(CheckpointError) {
    let descriptor = try system("open the directory", path) {
      open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    }
    defer { Glibc.close(descriptor) }
    // Some network file systems know no fsync of a directory; their renames reach the server at once.
    if fsync(descriptor) != 0, errno != EINVAL, errno != ENOTSUP {
      throw systemError(errno, "write to the disk (fsync of the directory)", path)
    }
  }

  package func removeFile(_ path: String) throws(CheckpointError) {
    try system("remove", path) { unlink(path) }
  }

  package func removeDirectory(_ path: String) throws(CheckpointError) {
    try system("remove the directory", path) { rmdir(path) }
  }
}

extension FileSystem {
  package func expectBlocks(in file: OpenFile) {}

  /// Writes all of `bytes`, however many calls that takes.
  func writeAll(_ bytes: UnsafeRawBufferPointer, to file: OpenFile) throws(CheckpointError) {
    var rest = bytes
    while !rest.isEmpty {
      let count = try write(rest, to: file)
      guard count > 0 else {
        throw CheckpointError(.system(EIO), path: file.path, "cannot write: the system took no bytes")
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  /// Creates a file, lets `body` fill it, and returns when it is on the disk. A failed file is left for
  /// the caller.
  func createDurably<Result>(
    _ path: String, _ body: (OpenFile) throws(CheckpointError) -> Result
  ) throws(CheckpointError) -> Result {
    let file = try create(path)
    let result: Result
    do throws(CheckpointError) {
      result = try body(file)
      try synchronize(file)
    } catch {
      try? close(file)  // `error` says why; a second one would only hide it
      throw error
    }
    try close(file)
    return result
  }

  /// Creates a file of these bytes, and returns when it is on the disk.
  package func createDurably(_ path: String, _ bytes: [UInt8]) throws(CheckpointError) {
    try createDurably(path) { (file) throws(CheckpointError) in
      let output = HashingOutput(file, on: self)
      try output.append(bytes)
      _ = try output.finish()
    }
  }

  /// Copies a file to a name that must not exist, and returns when the copy is on the disk.
  package func copyFile(_ path: String, to newPath: String) throws(CheckpointError) {
    let source = try MappedFile(path)
    try createDurably(newPath) { (file) throws(CheckpointError) in try writeAll(source.bytes, to: file) }
  }

  /// Removes a directory and everything below it.
  func removeTree(_ path: String) throws(CheckpointError) {
    for name in try directoryContents(path) {
      let inner = "\(path)/\(name)"
      if fileKind(inner) == S_IFDIR { try removeTree(inner) } else { try removeFile(inner) }
    }
    try removeDirectory(path)
  }

  /// Removes a directory and the files in it.
  func removeDirectoryAndFiles(_ path: String) throws(CheckpointError) {
    for name in try directoryContents(path) { try removeFile("\(path)/\(name)") }
    try removeDirectory(path)
  }
}
