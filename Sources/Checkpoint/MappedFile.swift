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
    let mapping = withExtendedLifetime(file) {
      mmap(nil, file.length, PROT_READ, MAP_PRIVATE, file.descriptor, 0)
    }
    guard let start = mapping, start != MAP_FAILED else { throw systemError(errno, "map into memory", path) }
    bytes = UnsafeRawBufferPointer(start: start, count: file.length)
  }

  deinit {
    if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
  }
}
