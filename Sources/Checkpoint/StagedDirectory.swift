internal import Glibc

/// A directory that appears whole or not at all: it is filled under another name beside its own, then renamed.
package struct StagedDirectory {
  package let path: String
  private let parent: String
  private let staging: String
  private let fileSystem: any FileSystem

  /// - Throws: `CheckpointError` if something other than an empty directory has this name, or the directory that it
  ///   should be in does not exist. Better now than after the work.
  package init(
    _ path: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(CheckpointError) {
    let end = path.lastIndex { $0 != "/" } ?? path.startIndex
    let path = String(path[...end])
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    guard !["", ".", ".."].contains(name) else {
      throw CheckpointError(.unsupported, path: path, "name the directory to be made")
    }
    parent = parentDirectory(of: path)
    (self.path, staging, self.fileSystem) = (path, "\(parent)/.\(name).partial", fileSystem)
    try checkTarget()
  }

  private func checkTarget() throws(CheckpointError) {
    guard fileKind(path) != nil else {
      guard fileKind(parent, followingLinks: true) == S_IFDIR else {
        throw CheckpointError(.missing, path: path, "its directory does not exist; make it first")
      }
      return
    }
    guard fileKind(path) == S_IFDIR else {
      throw CheckpointError(.unsupported, path: path, "exists and is no directory; name another one")
    }
    let names = try directoryContents(path)
    guard names.isEmpty else {
      throw CheckpointError(
        .unsupported, path: path,
        "exists and is not empty (\(summary(names, limit: 3))); empty it or name another directory")
    }
  }

  /// Lets `body` fill the directory, whose temporary path it is given; afterwards it is on the disk under its name.
  ///
  /// What an earlier attempt left when it was killed is removed first.
  /// - Throws: `CheckpointError`, also that of `body`; then nothing is left, as the message says.
  package func fill(
    _ body: (_ staging: String) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    do throws(CheckpointError) {
      if exists(staging) { try fileSystem.removeTree(staging) }
      try fileSystem.makeDirectory(staging)
      try body(staging)
      try fileSystem.synchronizeDirectory(staging)
      try fileSystem.rename(staging, to: path)
    } catch { throw abandoned(because: error) }
    try fileSystem.synchronizeDirectory(parent)
  }

  private func abandoned(because cause: CheckpointError) -> CheckpointError {
    var error = cause
    var remains = "nothing of it is left"
    if exists(staging) {
      do throws(CheckpointError) {
        try fileSystem.removeTree(staging)
      } catch { remains = "its remains could not be removed (\(error))" }
    }
    error.message += "; \(path) was not made, \(remains)"
    return error
  }
}
