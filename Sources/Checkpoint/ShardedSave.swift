/// One save, of which every rank does its part; what ranks must tell each other, the caller brings.
///
/// 1. Rank 0 begins; the others join, which shows that they see the same directory.
/// 2. Every rank writes its file, down to the disk.
/// 3. Once all have, rank 0 commits: manifest, rename, `latest`, then retention. If any could not, rank 0 abandons.
///
/// Until the rename in 3 nothing is there but a directory that no loader takes for a checkpoint, and every checkpoint
/// that was there before can still be opened. Any thread may do a part.
package struct ShardedSave: Sendable {
  /// Gives the elements of a slice to `write`, in order, in one or more pieces.
  package typealias Elements = (
    _ slice: ShardPlan.Slice, _ write: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void
  ) throws(CheckpointError) -> Void

  package let store: CheckpointStore
  package let information: CheckpointInformation
  package let plan: ShardPlan
  package let rank: Int
  private let layout: SafetensorsLayout

  private static let markName = ".ranks"

  /// - Throws: `CheckpointError` if the header of this rank's file would exceed the format's limit.
  package init(
    _ store: CheckpointStore, _ information: CheckpointInformation, _ plan: ShardPlan, rank: Int
  ) throws(CheckpointError) {
    precondition(information.step >= 0, "step \(information.step)")
    (self.store, self.information, self.plan, self.rank) = (store, information, plan, rank)
    layout = try SafetensorsLayout(plan.slices[rank].map(\.record), metadata: [:])
  }

  private var ranks: Int { plan.slices.count }
  private var step: Int { information.step }
  private var fileSystem: any FileSystem { store.fileSystem }
  private var partial: String { store.path(StepName(step, .partial)) }

  /// Bytes of this rank's file.
  package var fileLength: Int { layout.fileLength }

  /// On rank 0: removes what earlier saves have left, and makes the directory.
  ///
  /// - Returns: what the others `join` with.
  package func begin() throws(CheckpointError) -> String {
    do throws(CheckpointError) {
      try store.makeDirectories()
      try store.clearDebris()
      try fileSystem.makeDirectory(partial)
      guard ranks > 1 else { return "" }
      let mark = String(UInt64.random(in: 0...UInt64.max), radix: 16)
      try fileSystem.createDurably("\(partial)/\(Self.markName)", Array(mark.utf8))
      return mark
    } catch { throw withSpace(error) }
  }

  /// On the others: requires that this is the directory that rank 0 has made.
  package func join(_ mark: String) throws(CheckpointError) {
    let advice =
      "this rank does not see the directory that rank 0 has made: every rank writes a part of a checkpoint, so set "
      + "checkpoint.directory to one that all nodes share"
    // A list of names brings a network file system up to date.
    guard let names = try? directoryContents(store.directory), names.contains(StepName(step, .partial).text)
    else { throw CheckpointError(.missing, path: partial, advice) }
    let found = try? MappedFile("\(partial)/\(Self.markName)")
    guard let found, found.bytes.elementsEqual(mark.utf8) else {
      throw CheckpointError(.missing, path: partial, advice)
    }
  }

  /// On every rank: writes its file; it and its name are on the disk when this returns.
  package func write(_ elements: @escaping Elements) throws(CheckpointError) -> FileDigest {
    let slices = Dictionary(uniqueKeysWithValues: plan.slices[rank].map { ($0.record.name, $0) })
    let path = "\(partial)/\(Manifest.fileName(rank: rank, of: ranks))"
    do throws(CheckpointError) {
      let digest = try SafetensorsWriter(layout).write(to: path, on: fileSystem) {
        (key, write) throws(CheckpointError) in
        guard let slice = slices[key] else { preconditionFailure("\(key) is no slice of rank \(rank)") }
        try elements(slice, write)
      }
      // Rank 0 does so when it commits.
      if rank > 0 { try fileSystem.synchronizeDirectory(partial) }
      return digest
    } catch { throw withSpace(error) }
  }

  private func withSpace(_ error: CheckpointError) -> CheckpointError {
    error.withSpace(needed: fileLength, in: store.directory)
  }

  /// On rank 0, after all ranks have written: makes it a checkpoint, and removes what is no longer kept.
  ///
  /// - Parameter digests: of the files, by rank.
  /// - Throws: `CheckpointError`, which says whether anything is left.
  package func commit(_ digests: [FileDigest]) throws(CheckpointError) -> SavedCheckpoint {
    removeOld(after: try makeDurable(digests))
  }

  /// The first part of ``commit(_:)``: once this returns, a loss of power no longer matters.
  package func makeDurable(_ digests: [FileDigest]) throws(CheckpointError) -> SavedCheckpoint {
    let length: Int
    do throws(CheckpointError) {
      length = try complete(digests)
      try publish()
    } catch { throw abandoned(because: withSpace(error)) }
    do throws(CheckpointError) {
      try fileSystem.synchronizeDirectory(store.directory)
      try pointLatest()
    } catch {
      var error = error
      error.message +=
        "; step-\(step) itself is complete, but \"\(CheckpointStore.latestName)\" may not name it"
      throw error
    }
    return SavedCheckpoint(path: store.path(step: step), length: length)
  }

  /// The second part of ``commit(_:)``.
  package func removeOld(after saved: SavedCheckpoint) -> SavedCheckpoint {
    var saved = saved
    (saved.discarded, saved.leftovers) = store.removeOld(saved: step)
    return saved
  }

  /// Writes the manifest. Returns the bytes of all files.
  private func complete(_ digests: [FileDigest]) throws(CheckpointError) -> Int {
    let manifest = plan.manifest(information, digests)
    try manifest.validate(path: "\(partial)/\(Manifest.fileName)")
    // What the others say they have written is there, and as long as they say.
    try StoredCheckpoint.checkLengths(manifest, in: partial)
    if ranks > 1 { try fileSystem.removeFile("\(partial)/\(Self.markName)") }
    let text = try manifest.text()
    try fileSystem.createDurably("\(partial)/\(Manifest.fileName)", text)
    try fileSystem.synchronizeDirectory(partial)
    return digests.reduce(text.count) { $0 + $1.length }
  }

  /// Gives the partial directory its final name.
  private func publish() throws(CheckpointError) {
    let (final, aside) = (store.path(step: step), store.path(StepName(step, .replaced)))
    let replaces = exists(final)
    // A directory cannot be renamed over a full one. Until the second rename the loader takes the old one
    // from `aside`.
    if replaces { try fileSystem.rename(final, to: aside) }
    do throws(CheckpointError) {
      try fileSystem.rename(partial, to: final)
    } catch {
      if replaces { try? fileSystem.rename(aside, to: final) }  // under either name it is found
      throw error
    }
  }

  private func pointLatest() throws(CheckpointError) {
    try fileSystem.createDurably(store.newLatest, Array("\(StepName(step).text)\n".utf8))
    try fileSystem.rename(store.newLatest, to: "\(store.directory)/\(CheckpointStore.latestName)")
    try fileSystem.synchronizeDirectory(store.directory)
  }

  /// On rank 0, when a rank could not begin, join or write: removes what was written.
  ///
  /// - Returns: the error, with what its reader needs to know.
  package func abandoned(because cause: CheckpointError) -> CheckpointError {
    var error = cause
    var remains = "nothing is left of it"
    if exists(partial) {
      do throws(CheckpointError) {
        try fileSystem.removeDirectoryAndFiles(partial)
      } catch { remains = "its remains could not be removed (\(error))" }
    }
    error.message += "; step-\(step) was not saved, \(remains), earlier checkpoints are untouched"
    return error
  }
}
