internal import Checkpoint

/// A save that all ranks have begun together, and that ends on all of them in the same way.
struct RankedSave {
  let save: ShardedSave
  private let agreement: CheckpointAgreement

  /// Begins. Every rank calls this and, after it has written, `finish`.
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
    let save = try own.get()
    self.save = save
    do throws(CheckpointError) {
      let mark = try agreement.first { () throws(CheckpointError) in try save.begin() }
      let joined = Result { () throws(CheckpointError) in
        if agreement.rank > 0 { try save.join(mark) }
        return ""
      }
      _ = try agreement.all(joined)
    } catch { throw abandoned(because: error) }
  }

  /// Writes this rank's file; what other ranks must know of it.
  func write(_ elements: @escaping ShardedSave.Elements) -> Result<FileDigest, CheckpointError> {
    Result { () throws(CheckpointError) in try save.write(elements) }
  }

  /// Whether no rank has anything left to write.
  func isWrittenEverywhere(_ isWritten: Bool) -> Bool { agreement.everywhere(isWritten) }

  /// Makes it a checkpoint if all ranks have written their files.
  ///
  /// - Returns: nil on the ranks but the first.
  /// - Throws: `CheckpointError`, the same on all ranks.
  func finish(_ own: Result<FileDigest, CheckpointError>) throws(CheckpointError) -> SavedCheckpoint? {
    let digests: [FileDigest]
    do throws(CheckpointError) {
      digests = try agreement.all(own.map { "\($0.length) \($0.sha256)" }).map(FileDigest.init(text:))
    } catch { throw abandoned(because: error) }
    var saved: SavedCheckpoint?
    _ = try agreement.first { () throws(CheckpointError) in
      saved = try save.commit(digests)
      return ""
    }
    return saved
  }

  /// Removes what the ranks have written. Returns the error of rank 0, which knows what is left.
  private func abandoned(because cause: CheckpointError) -> CheckpointError {
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
