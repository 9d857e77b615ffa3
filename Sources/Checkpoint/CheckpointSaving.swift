extension CheckpointStore {
  /// Saves a checkpoint; once it returns, a loss of power no longer matters.
  ///
  /// Writes `.step-N.partial`, brings it to the disk, renames it to `step-N`, points `latest` to it, and
  /// removes what is no longer kept. Whatever stops it, every checkpoint that was there before can still
  /// be opened.
  /// - Throws: `CheckpointError` if it could not be saved; the message says whether anything is left of it.
  package func save(_ contents: CheckpointContents) throws(CheckpointError) -> SavedCheckpoint {
    let step = contents.step
    precondition(step >= 0, "step \(step)")
    let writer = try SafetensorsWriter(contents.tensors)
    let length: Int
    let replaces: Bool
    do throws(CheckpointError) {
      try makeDirectories()
      try clearDebris()
      length = try writePartial(contents, writer)
      replaces = try publish(step)
    } catch { throw abandoned(step, because: error, bytesNeeded: writer.fileLength) }
    do throws(CheckpointError) {
      try fileSystem.synchronizeDirectory(directory)
      try pointLatest(to: step)
    } catch {
      var error = error
      error.message += "; step-\(step) itself is complete, but \"\(Self.latestName)\" may not name it"
      throw error
    }
    let (discarded, leftovers) = removeOld(saved: step, replaces: replaces)
    return SavedCheckpoint(
      path: path(StepName(step)), length: length, discarded: discarded, leftovers: leftovers)
  }

  /// Where the checkpoint of a step is, or would be.
  package func path(step: Int) -> String { path(StepName(step)) }

  func path(_ name: StepName) -> String { "\(directory)/\(name.text)" }

  /// Writes everything under the partial name, down to the disk. Returns the bytes of all files.
  private func writePartial(
    _ contents: CheckpointContents, _ writer: SafetensorsWriter
  ) throws(CheckpointError) -> Int {
    let partial = path(StepName(contents.step, .partial))
    let name = Manifest.fileName(rank: 0, of: 1)
    try fileSystem.makeDirectory(partial)
    let digest = try writer.write(to: "\(partial)/\(name)", on: fileSystem, bytes: contents.bytes)
    let manifest = contents.manifest(file: Manifest.File(name: name, digest: digest))
    try manifest.validate(path: "\(partial)/\(Manifest.fileName)")
    let text = try manifest.text()
    try fileSystem.createDurably("\(partial)/\(Manifest.fileName)", text)
    try fileSystem.synchronizeDirectory(partial)
    return digest.length + text.count
  }

  /// Gives the partial directory its final name. Returns whether an older checkpoint had that name.
  private func publish(_ step: Int) throws(CheckpointError) -> Bool {
    let (final, aside) = (path(StepName(step)), path(StepName(step, .replaced)))
    let replaces = exists(final)
    // A directory cannot be renamed over a full one. Until the second rename the loader takes the old one
    // from `aside`.
    if replaces { try fileSystem.rename(final, to: aside) }
    do throws(CheckpointError) {
      try fileSystem.rename(path(StepName(step, .partial)), to: final)
    } catch {
      if replaces { try? fileSystem.rename(aside, to: final) }  // under either name it is found
      throw error
    }
    return replaces
  }

  private func pointLatest(to step: Int) throws(CheckpointError) {
    try fileSystem.createDurably(newLatest, Array("\(StepName(step).text)\n".utf8))
    try fileSystem.rename(newLatest, to: "\(directory)/\(Self.latestName)")
    try fileSystem.synchronizeDirectory(directory)
  }

  /// Removes what was written, and adds to the error what its reader needs to know.
  private func abandoned(
    _ step: Int, because cause: CheckpointError, bytesNeeded: Int
  ) -> CheckpointError {
    var error = cause
    let partial = path(StepName(step, .partial))
    var remains = "nothing is left of it"
    if exists(partial) {
      do throws(CheckpointError) {
        try fileSystem.removeDirectoryAndFiles(partial)
      } catch { remains = "its remains could not be removed (\(error))" }
    }
    error.message += "; step-\(step) was not saved, \(remains), earlier checkpoints are untouched"
    return error.withSpace(needed: bytesNeeded, in: directory)
  }
}
