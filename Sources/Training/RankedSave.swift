internal import Checkpoint

/// A save that all ranks have begun together, and that ends on all of them in the same way.
struct RankedSave {
  let save: ShardedSave
  let agreement: CheckpointAgreement

  /// Begins. Every rank calls this, writes, and calls what follows.
  ///
  /// - Throws: `CheckpointError`, the same on all ranks: the directory cannot be made, or a rank does not see it.
  init(
    _ store: CheckpointStore, _ information: CheckpointInformation, _ plan: ShardPlan,
    _ agreement: CheckpointAgreement
  ) throws(CheckpointError) {
    self.agreement = agreement
    let own = Result { () throws(CheckpointError) in
      try ShardedSave(store, information, plan, rank: agreement.rank)
    }
    _ = try agreement.all(own.map { _ in "" })
    let (save, isFirst) = (try own.get(), agreement.rank == 0)
    self.save = save
    do throws(CheckpointError) {
      let mark = try agreement.first { () throws(CheckpointError) in try save.begin() }
      let joined = agreement.answering {
        Result { () throws(CheckpointError) in
          if !isFirst { try save.join(mark) }
          return ""
        }
      }
      _ = try agreement.all(joined)
    } catch { throw abandoned(because: error) }
  }

  /// The files of all ranks, after each has written its own.
  ///
  /// - Throws: `CheckpointError`, the same on all ranks, if one could not.
  func digests(_ own: Result<FileDigest, CheckpointError>) throws(CheckpointError) -> [FileDigest] {
    do throws(CheckpointError) {
      return try agreement.all(own.map { "\($0.length) \($0.sha256)" }).map(FileDigest.init(text:))
    } catch { throw abandoned(because: error) }
  }

  /// Whether rank 0 has made it a checkpoint.
  ///
  /// - Parameter outcome: nil on the ranks but the first.
  /// - Returns: nil on the ranks but the first.
  /// - Throws: `CheckpointError`, the same on all ranks.
  func committed(
    _ outcome: Result<SavedCheckpoint, CheckpointError>?
  ) throws(CheckpointError) -> SavedCheckpoint? {
    _ = try agreement.ofFirst(outcome.map { $0.map { _ in "" } } ?? .success(""))
    return try outcome?.get()
  }

  /// Removes what the ranks have written. Returns the error of rank 0, which knows what is left.
  private func abandoned(because cause: CheckpointError) -> CheckpointError {
    let save = save
    let outcome = Result { () throws(CheckpointError) in
      try agreement.first { () throws(CheckpointError) in throw save.abandoned(because: cause) }
    }
    guard case .failure(let error) = outcome else { return cause }
    return error
  }
}

extension FileDigest {
  /// - Parameter text: length and hash.
  fileprivate init(text: String) {
    let parts = text.split(separator: " ")
    guard parts.count == 2, let length = Int(parts[0]) else {
      preconditionFailure("a rank's file is \(text)")
    }
    self.init(length: length, sha256: String(parts[1]))
  }
}
