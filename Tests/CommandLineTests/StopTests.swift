import Foundation
import Testing

/// Runs that cannot go on: they say why, and what was saved before stays.
struct StopTests {
  @Test func aRunThatDivergesStopsBeforeItIsSaved() throws {
    let bench = try Workbench()
    try bench.prepare()
    let settings = [
      "learning_rate.phases=[{shape: constant, to: 3e-3, until_step: 3}, {shape: constant, to: 1e30}]",
      "checkpoint.every=1", "checkpoint.keep=null", "evaluation.every=null",
    ]
    let outcome = try bench.run(Workbench.training("wild", settings))
    #expect(outcome.ending != .exit(0))
    let done = bench.metrics("wild").stepCount()
    #expect(done >= 3 && done < 8)
    #expect(outcome.error.contains("step \(done + 1): the "), "\(outcome.error)")
    #expect(outcome.error.contains("is not finite; the first tensor with a NaN or infinity is "))
    let tensor = try #require(outcome.error.split(separator: "infinity is ").last)
    #expect(tensor.contains("model.") || tensor.contains("lm_head"), "\(tensor)")
    #expect(try bench.checkpoints("wild") == Array(1...done))
    // A number that is none would be written as null.
    #expect(try bench.metrics("wild").values("gradient_norm").count == done)
    try bench.copy("runs/wild", to: "runs/tame")
    for step in 4...done { try bench.remove("runs/tame/checkpoints/step-\(step)") }
    try bench.train("tame", ["learning_rate.phases=[{shape: constant, to: 3e-3}]"])
  }

  /// From some step on nothing is finite: neither policy helps, and the run ends as it would have at first.
  @Test(arguments: ["skip", "roll_back"])
  func aRunThatStaysIllEnds(policy: String) throws {
    let bench = try Workbench()
    try bench.prepare()
    let settings = [
      "learning_rate.phases=[{shape: constant, to: 3e-3, until_step: 3}, {shape: constant, to: 1e30}]",
      "training.steps=100", "training.non_finite=\(policy)", "training.non_finite_limit=2",
      "checkpoint.every=3", "checkpoint.keep=null", "evaluation.every=null",
    ]
    let outcome = try bench.run(Workbench.training("wild", settings))
    #expect(outcome.ending == .exit(2), "\(outcome)")
    #expect(outcome.error.contains("2 times in a row before: training.non_finite_limit."), "\(outcome.error)")
    let words =
      policy == "skip" ? "; the step is skipped\n" : "; rolled back to runs/wild/checkpoints/step-3, "
    #expect(outcome.error.split(separator: words, omittingEmptySubsequences: false).count == 3)
    let metrics = bench.metrics("wild")
    #expect(try metrics.values("non_finite_steps").last == 2)
    #expect(try metrics.steps().count { $0["skipped"] != nil } == (policy == "skip" ? 2 : 0))
    #expect(try metrics.lines().count { $0.contains("roll_back") } == (policy == "skip" ? 0 : 2))
    #expect(try metrics.steps().compactMap { $0["step"] as? Int } == Array(1...metrics.stepCount()))
    // Again from the last checkpoint: the same end.
    let again = try bench.run(Workbench.training("wild", settings))
    #expect(again.ending == .exit(2) && again.error.contains("resumed from"), "\(again)")
  }

  /// On a file system that holds two checkpoints of 0.65 MB, and not three.
  @Test(.enabled(if: SmallDisk.isPermitted, "mounting a small file system needs the rights of root"))
  func aFullDiskKeepsWhatWasSaved() throws {
    let bench = try Workbench()
    try bench.prepare()
    let disk = try SmallDisk(bench, "disk", bytes: 1_500_000)
    let settings = [
      "run.directory=disk", "checkpoint.every=2", "checkpoint.keep=null", "evaluation.every=null",
    ]
    let outcome = try bench.run(Workbench.training("tiny", settings))
    #expect(outcome.ending == .exit(2))
    for word in ["step-6", "No space left on device", "earlier checkpoints are untouched", "bytes"] {
      #expect(outcome.error.contains(word), "\(word): \(outcome.error)")
    }
    let names = try bench.names("disk/tiny/checkpoints")
    #expect(names == ["latest", "step-2", "step-4"])

    try disk.unmount(keepingIn: "runs")
    try bench.train("whole", Array(settings.dropFirst()))
    let resumed = try bench.train("tiny", Array(settings.dropFirst()))
    #expect(resumed.error.contains("resumed from runs/tiny/checkpoints/step-4"))
    #expect(try bench.metrics("tiny").repeatable() == bench.metrics("whole").repeatable())
    #expect(try bench.weights("tiny", step: 8) == bench.weights("whole", step: 8))
  }

  /// What cannot be saved is said, and the run goes on to its end, where it must be saved.
  @Test(
    .enabled(if: SmallDisk.isPermitted, "mounting a small file system needs the rights of root"),
    arguments: [true, false])
  func aRunGoesOnWithoutItsDisk(isFull: Bool) throws {
    let bench = try Workbench()
    try bench.prepare()
    let disk = try SmallDisk(bench, "disk", bytes: 1_500_000)
    let settings = [
      "checkpoint={every: 2, keep: null, directory: disk/checkpoints, on_failure: go_on}",
      "evaluation.every=null",
    ]
    try bench.train("tiny", settings + ["training.steps=4"])
    if !isFull { try disk.forbidWriting() }
    let outcome = try bench.run(Workbench.training("tiny", settings))
    #expect(outcome.ending == .exit(2), "\(outcome)")
    let reason = isFull ? "No space left on device" : "Read-only file system"
    for word in [
      "could not save: ", "step-6 was not saved", "checkpoint.on_failure: go_on", "error: ", reason,
    ] {
      #expect(outcome.error.contains(word), "\(word): \(outcome.error)")
    }
    #expect(bench.metrics("tiny").stepCount() == 8)
    #expect(try bench.names("disk/checkpoints") == ["latest", "step-2", "step-4"])
    #expect(try bench.succeed(["checkpoint", "verify", "disk/checkpoints"]).output.contains("step-4: whole"))
    try disk.unmount(keepingIn: nil)
  }

  @Test(.enabled(if: SmallDisk.isPermitted, "mounting a small file system needs the rights of root"))
  func aFullDiskLeavesNothingHalfWritten() throws {
    let bench = try Workbench()
    try bench.prepare()
    let disk = try SmallDisk(bench, "disk", bytes: 20_000)
    let full = "No space left on device"
    let prepare = ["prepare", "--input", "text.txt", "--separator", "%", "--vocab-size", "320"]
    try Refusal("a corpus", prepare + ["--output", "disk/corpus"], says: "disk/corpus", full).check(bench)
    let model = PackageRoot.path("Tests/Oracle/tiny_a")
    let probe = ["probe", "--model", model, "--input", "\(model)/oracle.safetensors", "--output"]
    let outcome = try bench.run(probe + ["disk/out.safetensors"])
    #expect(outcome.ending == .exit(2) && outcome.error.contains(full), "\(outcome)")
    #expect(try bench.names("disk") == [])
    try disk.unmount(keepingIn: nil)
  }

  @Test func aDirectoryThatCannotBeMadeIsNamed() throws {
    let bench = try Workbench()
    try bench.prepare()
    let training = Workbench.training("tiny", ["run.directory=text.txt/runs"])
    try Refusal("a file in the way", training, says: "text.txt/runs/tiny", "Not a directory").check(bench)
  }
}

/// A file system of a few bytes in memory; gone with this value.
final class SmallDisk {
  private let bench: Workbench
  private let name: String
  private var isMounted = true

  static var isPermitted: Bool { geteuid() == 0 && (try? trial()) == true }

  init(_ bench: Workbench, _ name: String, bytes: Int) throws {
    (self.bench, self.name) = (bench, name)
    try FileManager.default.createDirectory(
      atPath: "\(bench.path)/\(name)", withIntermediateDirectories: true)
    try Self.call(bench, ["mount", "-t", "tmpfs", "-o", "size=\(bytes)", "tmpfs", name])
  }

  deinit { if isMounted { try? Self.call(bench, ["umount", name]) } }

  /// Takes the file system away; what it held can be copied to a directory of the workbench first.
  func unmount(keepingIn directory: String?) throws {
    if let directory { try bench.copy(name, to: directory) }
    try Self.call(bench, ["umount", name])
    isMounted = false
  }

  func forbidWriting() throws { try Self.call(bench, ["mount", "-o", "remount,ro", name]) }

  private static func trial() throws -> Bool {
    let disk = try SmallDisk(Workbench(), "trial", bytes: 10_000)
    try disk.unmount(keepingIn: nil)
    return true
  }

  private static func call(_ bench: Workbench, _ command: [String]) throws {
    let outcome = try bench.start("/usr/bin/env", command).wait()
    guard outcome.ending == .exit(0) else { throw CannotMount(reason: outcome.error) }
  }
}

struct CannotMount: Error { let reason: String }
