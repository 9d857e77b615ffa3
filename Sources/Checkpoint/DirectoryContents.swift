internal import Glibc

/// The names in a directory, in order; `.` and `..` are not listed.
///
/// - Throws: `CheckpointError`: `.missing`, or `.system`.
func directoryContents(_ path: String) throws(CheckpointError) -> [String] {
  guard let directory = opendir(path) else {
    let code = errno
    if code == ENOENT { throw CheckpointError(.missing, path: path, "there is no such directory") }
    throw systemError(code, "list the directory", path)
  }
  defer { closedir(directory) }
  var names: [String] = []
  while true {
    errno = 0
    guard let entry = readdir(directory) else { break }
    let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
      pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  guard errno == 0 else { throw systemError(errno, "list the directory", path) }
  return names.sorted()
}

/// Whether something exists under this path.
func exists(_ path: String) -> Bool {
  var status = stat()
  return lstat(path, &status) == 0
}
