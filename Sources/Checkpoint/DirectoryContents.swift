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

/// What is under this path, as `S_IFDIR` or another of `st_mode`'s formats; nil for nothing.
func fileKind(_ path: String, followingLinks: Bool = false) -> mode_t? {
  var status = stat()
  let result = followingLinks ? stat(path, &status) : lstat(path, &status)
  return result == 0 ? status.st_mode & S_IFMT : nil
}

/// Whether something exists under this path.
func exists(_ path: String) -> Bool { fileKind(path) != nil }

/// The directory that something under this path is in.
func parentDirectory(of path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}
