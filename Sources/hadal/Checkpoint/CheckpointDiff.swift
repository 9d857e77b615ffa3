internal import ArgumentParser
internal import Checkpoint
internal import Foundation
internal import Training

/// `hadal checkpoint diff`: which tensors differ, and by how much.
struct CheckpointDiff: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Compare two checkpoints; exit code 1 if their tensors differ.",
    discussion: """
      For each tensor that differs: how many elements have other bits, the largest difference |a - b|, and the relative \
      one, the norm of a - b by that of b. How they are divided into files makes no difference. A few megabytes at a \
      time are in memory.
      """)

  @Argument(help: "A checkpoint, a directory of them or a run: of several, the latest one.") var first: String
  @Argument(help: "The same.") var second: String

  func run() throws {
    let a = try StoredCheckpoint.find(first)
    let b = try StoredCheckpoint.find(second)
    for line in Self.places(a.manifest, b.manifest) { print(line) }
    var isDifferent = false
    for name in Set(a.names).union(b.names).sorted() {
      guard let line = try Self.line(name, a, b) else { continue }
      print(line)
      isDifferent = true
    }
    guard isDifferent else { return print("all \(a.names.count) tensors have the same bits") }
    throw ExitCode(1)
  }

  /// What differs beside tensors.
  private static func places(_ a: Manifest, _ b: Manifest) -> [String] {
    var lines: [String] = []
    for (name, place) in [("step", \Manifest.step), ("tokens", \.tokens), ("next_sample", \.nextSample)] {
      if a[keyPath: place] != b[keyPath: place] {
        lines.append("\(name): \(a[keyPath: place]), \(b[keyPath: place])")
      }
    }
    if a.configuration != b.configuration { lines.append("the configurations differ") }
    for key in Set(a.state.keys).union(b.state.keys).sorted() where a.state[key] != b.state[key] {
      lines.append("state \(key): \(a.state[key]?.text ?? "none"), \(b.state[key]?.text ?? "none")")
    }
    return lines
  }

  /// Nil where a tensor is the same in both.
  private static func line(
    _ name: String, _ a: StoredCheckpoint, _ b: StoredCheckpoint
  ) throws(CheckpointError) -> String? {
    guard a.contains(name) else { return "\(name): only in the second" }
    guard b.contains(name) else { return "\(name): only in the first" }
    let (mine, theirs) = (try a.entry(name), try b.entry(name))
    guard mine == theirs else {
      return "\(name): \(mine.type.rawValue) \(mine.shape), \(theirs.type.rawValue) \(theirs.shape)"
    }
    guard let difference = try a.difference(from: b, name) else { return nil }
    let digits = { (value: Double?) in value.map { String(format: "%.3g", $0) } ?? "unknown" }
    return "\(name): \(difference.elements) of \(mine.elementCount) elements, largest "
      + "\(digits(difference.largest)), relative \(digits(difference.relative))"
  }
}
