import Checkpoint
import Foundation
import Testing

/// `hadal checkpoint list|verify|diff|convert`.
struct CheckpointCommandTests {
  private static let file = "rank-00000-of-00001.safetensors"

  private func bench() throws -> Workbench {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("tiny")
    return bench
  }

  @Test func listAndVerify() throws {
    let bench = try bench()
    let list = try bench.succeed(["checkpoint", "list", "runs/tiny"]).output.split(separator: "\n")
    #expect(list.count == 2 && list[0].hasPrefix("step-8  ") && list[1].hasPrefix("step-4  "), "\(list)")
    #expect(list[0].contains("in 1 file  1024 tokens"), "\(list)")
    let whole = try bench.succeed(["checkpoint", "verify", "runs/tiny/checkpoints"]).output
    #expect(whole == "runs/tiny/checkpoints/step-8: whole\nruns/tiny/checkpoints/step-4: whole\n")

    // A flipped bit is found by reading; a file that is too short, by its length.
    try bench.damage("runs/tiny/checkpoints/step-8/\(Self.file)") { $0[$0.count / 2] ^= 1 }
    let arguments = ["checkpoint", "verify", "runs/tiny"]
    let flipped = try bench.run(arguments)
    #expect(flipped.ending == .exit(2) && flipped.error.contains("step-8: damaged;"), "\(flipped)")
    #expect(
      flipped.output.contains("step-8: damaged\n  runs/tiny/checkpoints/step-8/\(Self.file): its SHA-256"))
    #expect(flipped.output.contains("step-4: whole"))
    try bench.damage("runs/tiny/checkpoints/step-4/\(Self.file)") { $0.removeLast() }
    let both = try bench.succeed(["checkpoint", "list", "runs/tiny"]).output
    #expect(both.contains("step-4  cannot be used: ") && both.contains("truncated"), "\(both)")
    #expect(try bench.run(arguments).error.contains("step-8: damaged and 1 more"))
    try Refusal("nothing there", ["checkpoint", "list", "corpus"], says: "corpus", "neither a checkpoint")
      .check(bench)
  }

  @Test func convertAndDiff() throws {
    let bench = try bench()
    try bench.train("whole", ["training.steps=10"])
    let convert = ["checkpoint", "convert", "--checkpoint", "runs/tiny", "--files", "3", "--to"]
    let said = try bench.succeed(convert + ["three"]).output
    #expect(said.hasPrefix("three/step-8: ") && said.hasSuffix(" in 3 files\n"), "\(said)")
    let files = (0..<3).map { "rank-0000\($0)-of-00003.safetensors" }
    #expect(try bench.names("three/step-8") == ["manifest.json"] + files)
    #expect(try bench.succeed(["checkpoint", "verify", "three"]).output == "three/step-8: whole\n")
    let same = try bench.succeed(["checkpoint", "diff", "runs/tiny", "three"]).output
    #expect(same.hasPrefix("all ") && same.contains("have the same bits"), "\(same)")
    // It is what the run would have gone on from.
    try bench.train("branch", ["training.steps=10"], options: ["--resume", "three"])
    let branch = try bench.weights("branch", step: 10)
    #expect(try branch == bench.weights("whole", step: 10))

    let differs = try bench.run([
      "checkpoint", "diff", "runs/tiny/checkpoints/step-4", "runs/tiny/checkpoints/step-8",
    ])
    #expect(differs.ending == .exit(1) && differs.error.isEmpty, "\(differs)")
    #expect(differs.output.contains("step: 4, 8\n") && differs.output.contains("\nlm_head.weight: "))
    #expect(differs.output.contains(" of 10240 elements, largest "), "\(differs.output)")

    try Refusal("not empty", convert + ["three"], says: "three", "is not empty").check(bench)
    try Refusal("no files", convert.dropLast(2) + ["0", "--to", "zero"], says: "--files: is 0, not 1").check(
      bench)
  }

  /// Hundreds of checkpoints with changed manifests, in a process that may not take much memory.
  @Test func changedManifestsTakeNoMemory() throws {
    let bench = try bench()
    let manifest = try bench.text("runs/tiny/checkpoints/step-8/manifest.json")
    let lines = manifest.split(separator: "\n", omittingEmptySubsequences: false)
    let body = lines.dropLast(3).joined(separator: "\n") + "\n"
    let places = body.indices.filter { body[$0].isNumber }
    var count = 0
    for place in stride(from: 0, to: places.count, by: max(1, places.count / 150)) {
      var text = body
      text.replaceSubrange(places[place]...places[place], with: "1152921504606846976")
      count += 1
      let directory = "many/step-\(count)"
      try FileManager.default.createDirectory(
        atPath: "\(bench.path)/\(directory)", withIntermediateDirectories: true)
      try bench.write("\(directory)/manifest.json", Manifest.sealed(Array(text.utf8)))
      try FileManager.default.linkItem(
        atPath: "\(bench.path)/runs/tiny/checkpoints/step-8/\(Self.file)",
        toPath: "\(bench.path)/\(directory)/\(Self.file)")
    }
    let limited = "ulimit -v 3000000; exec \"$0\" checkpoint list many"
    let outcome = try bench.start("/bin/bash", ["-c", limited, HadalBinary.path()]).wait()
    #expect(outcome.ending == .exit(0), "\(outcome)")
    let refused = outcome.output.split(separator: "\n").filter { $0.contains("cannot be used: ") }
    #expect(outcome.output.split(separator: "\n").count == count && refused.count > count / 2)
  }
}
