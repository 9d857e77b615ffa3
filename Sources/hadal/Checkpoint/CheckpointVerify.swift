internal import ArgumentParser
internal import Checkpoint

/// `hadal checkpoint verify`: reads and hashes everything.
struct CheckpointVerify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Read and hash all files of checkpoints; exit code 2 if any is damaged.",
    discussion: """
      Also proves that each element of each tensor is stored exactly once, and that files and manifest agree.
      """)

  @Argument(help: "A run, a directory of checkpoints, or a checkpoint.") var path: String

  func run() throws {
    var damaged: [String] = []
    for path in try CheckpointPaths.all(path) {
      let faults = StoredCheckpoint.faults(in: path)
      print("\(path): \(faults.isEmpty ? "whole" : "damaged")")
      for fault in faults { print("  \(fault)") }
      if !faults.isEmpty { damaged.append(path) }
    }
    guard let first = damaged.first else { return }
    let others = damaged.count > 1 ? " and \(damaged.count - 1) more" : ""
    throw CheckpointError(
      .damaged, path: first,
      "damaged\(others); --resume auto passes over damaged checkpoints, and the next newer one is as good")
  }
}
