internal import ArgumentParser
internal import Checkpoint
internal import Foundation
internal import Training

/// `hadal checkpoint list`: steps, sizes, and why one cannot be used.
struct CheckpointList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List checkpoints, the newest first.",
    discussion: """
      Reads manifests and compares the lengths of files, which is quick; verify reads and hashes the files. A \
      checkpoint that cannot be used is listed with the reason.
      """)

  @Argument(help: "A run, a directory of checkpoints, or a checkpoint.") var path: String

  func run() throws {
    for path in try CheckpointPaths.all(path) { print(Self.line(path)) }
  }

  private static func line(_ path: String) -> String {
    let name = URL(fileURLWithPath: path).lastPathComponent
    do throws(CheckpointError) {
      let checkpoint = try StoredCheckpoint(path, hashing: .none)
      let manifest = checkpoint.manifest
      let bytes = manifest.files.reduce(0) { $0 + $1.digest.length }
      let files = manifest.files.count
      return "\(name)  \(ProgressText.memory(bytes: bytes)) in \(files) file\(files == 1 ? "" : "s")  "
        + "\(manifest.tokens) tokens  \(manifest.tensors.count) tensors"
    } catch { return "\(name)  cannot be used: \(error)" }
  }
}
