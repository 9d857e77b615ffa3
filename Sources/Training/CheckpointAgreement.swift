internal import Checkpoint
internal import Communication
internal import Glibc
internal import Parallel

/// Ranks that tell each other how their parts of a save or of an opening went, so that all go on or none.
///
/// Every rank calls the same functions in the same order. A message that fails ends the job; a disk may take its time,
/// as the rank whose disk it is answers the others meanwhile.
struct CheckpointAgreement {
  /// nil for one rank alone.
  let world: Communicator?
  private let waiter = Waiter()

  var rank: Int { world?.rank ?? 0 }
  var ranks: Int { world?.size ?? 1 }

  /// What the parts of all ranks came to, by rank.
  ///
  /// - Throws: the first rank's failure on every rank, with the rank named.
  func all(_ own: Result<String, CheckpointError>) throws(CheckpointError) -> [String] {
    guard let world else { return [try own.get()] }
    let outcomes = texts(Self.text(own), world).map(Self.outcome)
    let failures = outcomes.enumerated().compactMap { rank, outcome in
      if case .failure(let error) = outcome { (rank, error) } else { nil as (Int, CheckpointError)? }
    }
    guard let (rank, cause) = failures.first else { return outcomes.compactMap { try? $0.get() } }
    var error = cause
    let others = failures.count > 1 ? " and \(failures.count - 1) more" : ""
    error.message = "rank \(rank) on \(world.hosts[rank])\(others): \(error.message)"
    throw error
  }

  /// What rank 0 comes to, on every rank; the others do not run `body`.
  func first(
    _ body: @escaping @Sendable () throws(CheckpointError) -> String
  ) throws(CheckpointError) -> String {
    let isFirst = rank == 0
    return try ofFirst(
      answering { isFirst ? Result { () throws(CheckpointError) in try body() } : .success("") })
  }

  /// What rank 0 has come to, on every rank.
  func ofFirst(_ own: Result<String, CheckpointError>) throws(CheckpointError) -> String {
    guard let world else { return try own.get() }
    return try Self.outcome(texts(Self.text(own), world)[0]).get()
  }

  /// Does this rank's part of something on disks, and returns once all ranks have done theirs.
  func answering<Value: Sendable>(_ part: @escaping @Sendable () -> Value) -> Value {
    guard world != nil else { return part() }
    let work = DiskWork(isHurried: true, part)
    wait { work.hasEnded }
    return work.wait()
  }

  /// Returns once it is so on every rank. They ask each other again and again: who answers is alive.
  ///
  /// - Parameter meanwhile: called again and again.
  func wait(until isSo: () -> Bool, meanwhile: () -> Void = {}) {
    var pause: UInt32 = 100
    while !everywhere(isSo()) {
      usleep(pause)
      pause = min(2 * pause, 10_000)
      meanwhile()
    }
  }

  /// Whether it is so on every rank.
  func everywhere(_ own: Bool) -> Bool {
    guard let world else { return own }
    return waiter.endingJob(world) { () throws(CommunicationError) in
      try world.allReduce([own ? 1 : 0], .and, Self.purpose)[0] != 0
    }
  }

  private func texts(_ own: String, _ world: Communicator) -> [String] {
    let texts = waiter.endingJob(world) { () throws(CommunicationError) in
      try world.allGather(Array(own.utf8), Self.purpose)
    }
    return texts.map { String(decoding: $0, as: UTF8.self) }
  }

  private static var purpose: Purpose { Purpose("state of a checkpoint", .control) }

  /// Stands in no path or message.
  private static let separator: Character = "\u{1f}"

  private static func text(_ outcome: Result<String, CheckpointError>) -> String {
    switch outcome {
    case .success(let text): return text
    case .failure(let error):
      let code: Int32 = if case .system(let code) = error.kind { code } else { 0 }
      let kind = kinds.firstIndex(of: error.kind) ?? kinds.count
      let parts = ["", String(kind), String(code), error.path, error.message]
      return parts.joined(separator: String(separator))
    }
  }

  private static func outcome(_ text: String) -> Result<String, CheckpointError> {
    let parts = text.split(separator: separator, maxSplits: 4, omittingEmptySubsequences: false)
    guard parts.count == 5, let kind = Int(parts[1]), let code = Int32(parts[2]) else {
      return .success(text)
    }
    return .failure(
      CheckpointError(
        kind < kinds.count ? kinds[kind] : .system(code), path: String(parts[3]), String(parts[4])))
  }

  private static let kinds: [CheckpointError.Kind] = [.malformed, .damaged, .missing, .unsupported]
}

extension CheckpointAgreement {
  /// Opens the same checkpoint on every rank; what its files hold is compared when it is loaded.
  ///
  /// - Throws: `CheckpointError`, the same on all ranks, if any of them finds a file missing, of another length or with
  ///   a header that is not valid, or sees another checkpoint than rank 0.
  func open(
    _ body: @escaping @Sendable () throws(CheckpointError) -> StoredCheckpoint
  ) throws(CheckpointError) -> StoredCheckpoint {
    let own = answering { Opened(Result { () throws(CheckpointError) in try body() }) }.result
    let seen = try all(own.map { "step \($0.manifest.step) of \($0.path)" })
    let found = try own.get()
    guard let other = seen.firstIndex(where: { $0 != seen[0] }) else { return found }
    throw CheckpointError(
      .unsupported, path: seen[0],
      "rank \(other) sees \(seen[other]) instead: set checkpoint.directory to one that all nodes share")
  }

  /// The steps of all checkpoints of a store, whole or not, the newest first.
  ///
  /// - Throws: `TrainingError.cannotResume` when ranks see different directories; `CheckpointError` when one cannot list
  ///   its own.
  func steps(of store: CheckpointStore) throws -> [Int] {
    let steps = answering { Result { () throws(CheckpointError) in try store.steps() } }
    let lists = try all(steps.map { $0.map(String.init).joined(separator: ", ") })
    if let other = lists.firstIndex(where: { $0 != lists[0] }) {
      let words = { (list: String) in list.isEmpty ? "none" : "steps \(list)" }
      throw TrainingError.cannotResume(
        "\(store.directory): ranks do not see the same checkpoints (rank 0: \(words(lists[0])); rank \(other): "
          + "\(words(lists[other]))): set checkpoint.directory to one that all nodes share")
    }
    return try steps.get()
  }
}

/// A checkpoint on its way from the thread that has opened it to the driver.
///
/// Unchecked: the thread ends with it.
private struct Opened: @unchecked Sendable {
  let result: Result<StoredCheckpoint, CheckpointError>
  init(_ result: Result<StoredCheckpoint, CheckpointError>) { self.result = result }
}
