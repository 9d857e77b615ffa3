internal import Glibc

/// A file's bytes, mapped read-only: nothing is read before it is touched.
///
/// A file that shrinks while it is mapped ends the process when the lost part is touched, as with every
/// mapping.
final class MappedFile {
  let path: String
  /// Valid while this object lives.
  let bytes: UnsafeRawBufferPointer

  /// - Throws: `CheckpointError` if the file is missing, is not a regular file, or cannot be mapped.
  init(_ path: String) throws(CheckpointError) {
    let file = try ReadableFile(path)
    self.path = path
    guard file.length > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let start = mmap(nil, file.length, PROT_READ, MAP_PRIVATE, file.descriptor, 0), start != MAP_FAILED
    else { throw systemError(errno, "map into memory", path) }
    bytes = UnsafeRawBufferPointer(start: start, count: file.length)
  }

  deinit {
    if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
  }
}

/// An open regular file, closed when dropped.
struct ReadableFile: ~Copyable {
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
    (descriptor, length) = (opened, Int(status.st_size))
  }

  deinit { close(descriptor) }
}
