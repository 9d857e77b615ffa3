extension StoredCheckpoint {
  /// Everything that is wrong with the checkpoint in the directory `path`; empty for one that is whole.
  ///
  /// Reads and hashes every file, and goes on after one that is damaged. That each element of each tensor is covered
  /// exactly once, a manifest that can be read has been checked for.
  package static func faults(in path: String) -> [CheckpointError] {
    let manifest: Manifest
    do throws(CheckpointError) {
      manifest = try Manifest(contentsOf: "\(path)/\(Manifest.fileName)")
    } catch { return [error] }
    var faults: [CheckpointError] = []
    for file in manifest.files {
      do throws(CheckpointError) {
        try checkLength(file, at: "\(path)/\(file.name)")
        try checkHash(file, at: "\(path)/\(file.name)")
      } catch { faults.append(error) }
    }
    guard faults.isEmpty else { return faults }
    do throws(CheckpointError) {
      _ = try StoredCheckpoint(path, hashing: .none)
      return []
    } catch { return [error] }
  }
}
