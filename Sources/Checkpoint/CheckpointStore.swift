/// The checkpoints of one run: directories `step-N`, and a file `latest` that names the last one saved.
///
/// For one run at a time: a save removes what other saves have left unfinished.
package struct CheckpointStore: Sendable {
  static let latestName = "latest"

  package let directory: String
  /// How many checkpoints to keep; nil keeps all.
  package let keep: Int?
  let fileSystem: any FileSystem

  package init(directory: String, keep: Int? = nil, fileSystem: any FileSystem = PosixFileSystem()) {
    precondition(keep ?? 1 >= 1, "cannot keep \(keep ?? 0) checkpoints")
    precondition(!directory.isEmpty, "a store needs a directory")
    let end = directory.lastIndex { $0 != "/" } ?? directory.startIndex
    (self.directory, self.keep, self.fileSystem) = (String(directory[...end]), keep, fileSystem)
  }

  /// Which checkpoint to open.
  package enum Choice: Sendable {
    /// The one that the file `latest` names.
    case latest
    case step(Int)
    /// A checkpoint's own directory, in this store or elsewhere.
    case path(String)
  }

  /// A checkpoint as `list` finds it, without its tensors being read.
  package struct Listed: Sendable {
    package let step: Int
    package let path: String
    /// Its manifest, or why it cannot be used.
    package let manifest: Result<Manifest, CheckpointError>
  }

  /// Opens a checkpoint after reading and hashing its files: all of them unless told otherwise.
  ///
  /// - Throws: `CheckpointError` if there is none, or any part of it is damaged.
  package func open(
    _ choice: Choice = .latest, hashing: StoredCheckpoint.Hashing = .all
  ) throws(CheckpointError) -> StoredCheckpoint {
    switch choice {
    case .path(let path): return try StoredCheckpoint(path, hashing: hashing)
    case .step(let step): return try open(step, hashing)
    case .latest: return try open(try latestStep(), hashing)
    }
  }

  /// The steps of all directories that are named as checkpoints, whole or not, the newest first.
  package func steps() throws(CheckpointError) -> [Int] {
    try StoreContents(directory).newestFirst.map(\.step)
  }

  /// All checkpoints, the newest first; each manifest is read and the lengths of its files compared.
  package func list() throws(CheckpointError) -> [Listed] {
    try StoreContents(directory).newestFirst.map { name in
      let path = "\(directory)/\(name.text)"
      return Listed(
        step: name.step, path: path, manifest: Result { () throws(CheckpointError) in try manifest(name) })
    }
  }

  private func open(
    _ step: Int, _ hashing: StoredCheckpoint.Hashing
  ) throws(CheckpointError) -> StoredCheckpoint {
    let contents = try StoreContents(directory)
    guard let name = contents.checkpoints[step] else {
      let present = contents.newestFirst.map { "step-\($0.step)" }
      throw CheckpointError(
        .missing, path: directory,
        "there is no checkpoint step-\(step); present: \(present.isEmpty ? "none" : summary(present))")
    }
    return try open(name, hashing)
  }

  private func open(
    _ name: StepName, _ hashing: StoredCheckpoint.Hashing
  ) throws(CheckpointError) -> StoredCheckpoint {
    _ = try manifest(name)
    return try StoredCheckpoint("\(directory)/\(name.text)", hashing: hashing)
  }

  /// The manifest of a checkpoint whose files have the right lengths.
  func manifest(_ name: StepName) throws(CheckpointError) -> Manifest {
    let path = "\(directory)/\(name.text)"
    let manifest = try Manifest(contentsOf: "\(path)/\(Manifest.fileName)")
    guard manifest.step == name.step else {
      throw CheckpointError(
        .malformed, path: path, "its manifest says step \(manifest.step): renamed by hand?")
    }
    try StoredCheckpoint.checkLengths(manifest, in: path)
    return manifest
  }

  /// The step that the file `latest` names.
  func latestStep() throws(CheckpointError) -> Int {
    let path = "\(directory)/\(Self.latestName)"
    let file = try MappedFile(path)
    let text = String(decoding: file.bytes.prefix(64), as: UTF8.self)
    guard text.last == "\n", let name = StepName(String(text.dropLast())), name.role == .complete else {
      throw CheckpointError(
        .malformed, path: path, "should hold one line \"step-N\", but holds \(quoted(text))")
    }
    return name.step
  }
}
