package import Foundation
internal import Glibc

/// Whole files as bytes, without reading them before they are used.
package enum MappedFile {
  /// The file's bytes, mapped read-only; unmapped when the last copy goes.
  /// - Throws: `FileError` when it is missing, not readable or not a plain file.
  package static func bytes(of path: String) throws(FileError) -> Data {
    let descriptor = try FileError.check("open", path) { open(path, O_RDONLY | O_CLOEXEC) }
    defer { close(descriptor) }
    var status = stat()
    try FileError.check("inspect", path) { fstat(descriptor, &status) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw FileError("read", path, code: EISDIR)
    default: throw FileError("map", path, code: ENODEV)
    }
    // Mapping zero bytes is an error of the system call, but an empty file is none.
    guard status.st_size > 0 else { return Data() }
    let count = Int(status.st_size)
    guard let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
      throw FileError("map", path, code: errno)
    }
    return Data(bytesNoCopy: address, count: count, deallocator: .unmap)
  }
}
