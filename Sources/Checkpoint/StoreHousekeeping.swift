extension CheckpointStore {
  /// `latest` while it is being written.
  var newLatest: String { "\(directory)/.\(Self.latestName).partial" }

  /// Creates the store's directory and those above it, as far as they are missing.
  func makeDirectories() throws(CheckpointError) {
    var missing: [String] = []
    var path = directory
    while !exists(path) {
      missing.append(path)
      path = parentDirectory(of: path)
    }
    for path in missing.reversed() {
      try fileSystem.makeDirectory(path)
      try fileSystem.synchronizeDirectory(parentDirectory(of: path))
    }
  }

  /// Removes what a save that was cut off has left, and puts back a checkpoint that it had moved aside.
  func clearDebris() throws(CheckpointError) {
    let contents = try StoreContents(directory)
    for name in contents.debris { try fileSystem.removeDirectoryAndFiles(path(name)) }
    for name in contents.newestFirst where name.role == .replaced {
      try fileSystem.rename(path(name), to: path(StepName(name.step)))
    }
    if exists(newLatest) { try fileSystem.removeFile(newLatest) }
  }

  /// Removes the checkpoint that was replaced, and all but the newest `keep`.
  ///
  /// Directories without a usable manifest neither count nor go: they may be somebody's last hope.
  func removeOld(saved: Int) -> (discarded: [Int], leftovers: [CheckpointError]) {
    var discarded: [Int] = []
    do throws(CheckpointError) {
      let replaced = path(StepName(saved, .replaced))
      if exists(replaced) { try fileSystem.removeDirectoryAndFiles(replaced) }
      guard let keep else { return ([], []) }
      let older = try StoreContents(directory).newestFirst.filter { name in
        name.step != saved && (try? manifest(name)) != nil
      }
      for name in older.dropFirst(keep - 1) {
        let doomed = path(StepName(name.step, .discarded))
        // Renamed first: cut off in the middle, it must not look like a checkpoint.
        try fileSystem.rename(path(name), to: doomed)
        discarded.append(name.step)
        try fileSystem.removeDirectoryAndFiles(doomed)
      }
      return (discarded, [])
    } catch { return (discarded, [error]) }
  }
}
