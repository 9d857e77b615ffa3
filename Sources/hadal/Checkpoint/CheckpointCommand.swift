internal import ArgumentParser
internal import Checkpoint
internal import Foundation

/// `hadal checkpoint`: what is stored, whether it is whole, what differs, another division into files.
struct CheckpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint", abstract: "List, verify, compare and convert checkpoints.",
    subcommands: [
      CheckpointList.self, CheckpointVerify.self, CheckpointDiff.self, CheckpointConvert.self,
    ])
}

/// The checkpoints below a path that a person gives.
enum CheckpointPaths {
  /// The one checkpoint, or all of a directory of checkpoints or of a run, the newest first.
  ///
  /// - Returns: directories, whole or not.
  /// - Throws: `CheckpointError` of kind `.missing` if there is none.
  static func all(_ path: String) throws(CheckpointError) -> [String] {
    let exists = { FileManager.default.fileExists(atPath: $0) }
    let name = URL(fileURLWithPath: path).lastPathComponent
    if exists("\(path)/\(Manifest.fileName)") || name.hasPrefix("step-") && exists(path) { return [path] }
    for directory in [path, "\(path)/checkpoints"] where exists(directory) {
      let store = CheckpointStore(directory: directory)
      let listed = try store.list()
      if !listed.isEmpty { return listed.map(\.path) }
    }
    throw CheckpointError(
      .missing, path: path,
      "is neither a checkpoint (step-N), nor a directory of checkpoints, nor a run's directory")
  }
}
