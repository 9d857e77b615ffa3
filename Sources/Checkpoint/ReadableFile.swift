internal import Glibc

/// An open regular file, closed when dropped.
final class ReadableFile: Sendable {
  let path: String
  let descriptor: Int32
  let length: Int

  /// - Throws: `CheckpointError`: `.missing`, `.malformed` for what is not a regular file, or `.system`.
  init(_ path: String) throws(CheckpointError) {
    // Not blocking: opening a named pipe would wait for a writer for ever.
    let opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if opened < 0 {
      let code = errno
      if code == ENOENT { throw CheckpointError(.missing, path: path, "there is no such file") }
      throw systemError(code, "open for reading", path)
    }
    var status = stat()
    guard fstat(opened, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(opened)
      throw CheckpointError(.malformed, path: path, "is not a regular file")
    }
    (self.path, descriptor, length) = (path, opened, Int(status.st_size))
  }

  deinit { close(descriptor) }

  /// Reads a range of the file.
  ///
  /// - Parameter staysCached: whether it should stay in the page cache.
  /// - Throws: `CheckpointError`: `.system`, or `.damaged` for a file that has become shorter.
  func read(
    _ range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer, staysCached: Bool
  ) throws(CheckpointError) {
    var rest = UnsafeMutableRawBufferPointer(rebasing: buffer[..<range.count])
    while !rest.isEmpty {
      let place = range.upperBound - rest.count
      let count = try system("read", path) {
        pread(descriptor, rest.baseAddress, rest.count, off_t(place))
      }
      guard count > 0 else { throw ended(at: place) }
      rest = UnsafeMutableRawBufferPointer(rebasing: rest[count...])
    }
    // Its pages serve for what is read next: memory that the machine has not used yet may take longer than the disk.
    if !staysCached {
      posix_fadvise(descriptor, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_DONTNEED)
    }
  }

  /// The error for a file that is shorter than it was.
  func ended(at place: Int) -> CheckpointError {
    CheckpointError(
      .damaged, path: path, "ends at byte \(place): it was longer a moment ago, and something has cut it off")
  }
}
