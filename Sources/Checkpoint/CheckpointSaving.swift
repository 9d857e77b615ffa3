extension CheckpointStore {
  /// Saves what one process holds; once it returns, a loss of power no longer matters.
  ///
  /// Writes `.step-N.partial`, brings it to the disk, renames it to `step-N`, points `latest` to it, and
  /// removes what is no longer kept. Whatever stops it, every checkpoint that was there before can still
  /// be opened.
  /// - Throws: `CheckpointError` if it could not be saved; the message says whether anything is left of it.
  package func save(_ contents: CheckpointContents) throws(CheckpointError) -> SavedCheckpoint {
    let plan = ShardPlan([contents.tensors.map { ShardPlan.Holding($0) }])
    let save = try ShardedSave(self, contents.information, plan, rank: 0)
    let digest: FileDigest
    do throws(CheckpointError) {
      _ = try save.begin()
      digest = try save.write { (slice, write) throws(CheckpointError) in
        try contents.bytes(slice.name, write)
      }
    } catch { throw save.abandoned(because: error) }
    return try save.commit([digest])
  }

  /// Where the checkpoint of a step is, or would be.
  package func path(step: Int) -> String { path(StepName(step)) }

  func path(_ name: StepName) -> String { "\(directory)/\(name.text)" }
}
