import Foundation
import Glibc
import Testing

/// A run that is stopped, in whatever way, and taken up again is the run that was not: to the last bit.
struct ResumeTests {
  /// What could hide state that a checkpoint forgets.
  struct Variant: Sendable, CustomTestStringConvertible {
    let name: String
    let settings: [String]

    var testDescription: String { name }

    static let all = [
      Variant(name: "as configured", settings: []),
      Variant(name: "saves that training waits for", settings: ["checkpoint.asynchronous=false"]),
      Variant(
        name: "recomputation", settings: ["training.recompute=[norms, up_projections, swiglu]"]),
      Variant(name: "bfloat16", settings: ["precision.mode=bfloat16"]),
      Variant(name: "FP8", settings: ["precision.mode=fp8"]),
      Variant(
        name: "FP8 that is left",
        settings: [
          "precision={mode: fp8, fp8: {health_every: 3, fall_back: fall_back, flushed_limit: 0}}"
        ]),
      Variant(
        name: "gradient accumulation",
        settings: ["training.micro_batch_size=1", "training.global_batch_size=4"]),
      Variant(name: "float32 moments", settings: ["optimizer.moments=float32"]),
      Variant(
        name: "batch ramp and schedules",
        settings: [
          "training.global_batch_size={from: 2, to: 6, over_tokens: 1024}",
          "training.bias_update_speed=[{until_tokens: 512, value: 0.01}, {value: 0}]",
          "training.mtp_document_boundaries=true",
        ]),
    ]
  }

  @Test func moreStepsGoOnFromFewer() throws {
    let bench = try Workbench()
    try bench.prepare()
    // No evaluation: one is made at the end of a run, so the shorter run has one more.
    let settings = ["evaluation.every=null"]
    try bench.train("whole", settings + ["training.steps=11"])
    try bench.train("parts", settings + ["training.steps=5"])
    let second = try bench.train("parts", settings + ["training.steps=11"])
    #expect(second.error.contains("resumed from runs/parts/checkpoints/step-5 after step 5"))
    try expectSame(bench, "parts", "whole", step: 11)
    // To the end and once more: nothing is done twice.
    let third = try bench.train("parts", settings + ["training.steps=11"])
    #expect(third.error.contains("the run is complete: step 11 of 11"), "\(third.error)")
    try expectSame(bench, "parts", "whole", step: 11)
    // From an earlier checkpoint that is named: refused while later ones would be a second history.
    let path = "runs/parts/checkpoints/step-8"
    let arguments = Workbench.training("parts", settings + ["training.steps=11"]) + ["--resume", path]
    let refused = try bench.start(arguments).wait()
    #expect(refused.ending == .exit(2) && refused.error.contains("holds step-11"), "\(refused)")
    for step in try bench.checkpoints("parts") where step > 8 {
      try FileManager.default.removeItem(atPath: "\(bench.path)/runs/parts/checkpoints/step-\(step)")
    }
    let named = try bench.train("parts", settings + ["training.steps=11"], options: ["--resume", path])
    #expect(named.error.contains("resumed from \(path) after step 8"))
    try expectSame(bench, "parts", "whole", step: 11)
  }

  @Test(arguments: [(SIGTERM, 0), (SIGINT, 0), (SIGUSR1, 75)] as [(Int32, Int32)])
  func aSignalSavesAndEndsTheRun(signal: Int32, code: Int32) throws {
    let bench = try Workbench()
    try bench.prepare()
    let settings = ["checkpoint={every: null, signal_exit_code: \(code)}", "evaluation.every=null"]
    let endless = try bench.start(Workbench.training("stopped", settings + ["training.steps=1000000"]))
    try endless.waitUntil { bench.metrics("stopped").stepCount() >= 3 }
    endless.send(signal)
    let outcome = try endless.wait()
    #expect(outcome.ending == .exit(code), "\(outcome)")
    let last = bench.metrics("stopped").stepCount()
    #expect(outcome.error.contains("after step \(last)"))
    #expect(try bench.checkpoints("stopped") == [last])

    let total = "training.steps=\(last + 3)"
    let resumed = try bench.train("stopped", settings + [total])
    #expect(resumed.error.contains("resumed from runs/stopped/checkpoints/step-\(last)"))
    try bench.train("whole", settings + [total])
    try expectSame(bench, "stopped", "whole", step: last + 3)
  }

  /// The process is killed at seven moments: once while it starts, and else up to 32 ms after a step was
  /// written down, which is where it saves. That run has no end, so that no kill comes too late.
  @Test(arguments: Variant.all)
  func aKilledRunLosesNothing(variant: Variant) throws {
    let bench = try Workbench()
    try bench.prepare()
    let settings = variant.settings + ["checkpoint.every=1", "checkpoint.keep=2", "evaluation.every=null"]
    let endless = Workbench.training("killed", settings + ["training.steps=1000000"])
    for (kill, milliseconds) in [0, 2, 30, 5, 1, 32, 10].enumerated() {
      let process = try bench.start(endless)
      let done = bench.metrics("killed").stepCount()
      // The third one dies somewhere in its beginning.
      if kill != 2 { try process.waitUntil { bench.metrics("killed").stepCount() > done } }
      usleep(UInt32(milliseconds) * 1000)
      process.send(SIGKILL)
      let outcome = try process.wait()
      #expect(outcome.ending == .signal(SIGKILL), "\(outcome)")
    }
    let last = bench.metrics("killed").stepCount() + 2
    let final = try bench.train("killed", settings + ["training.steps=\(last)"])
    #expect(final.error.contains("resumed from"))

    try bench.train("whole", settings + ["training.steps=\(last)"])
    try expectSame(bench, "killed", "whole", step: last)
    let names = try bench.names("runs/killed/checkpoints")
    #expect(names == ["latest", "step-\(last - 1)", "step-\(last)"].sorted(), "debris")
  }

  @Test func neverRefusesToOverwriteARun() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("tiny", options: ["--resume", "never"])
    let before = try bench.snapshot()
    let outcome = try bench.run(Workbench.training("tiny") + ["--resume", "never"])
    #expect(outcome.ending == .exit(2))
    #expect(outcome.error.contains("runs/tiny/checkpoints holds checkpoints of an earlier run"))
    #expect(outcome.error.contains("--resume auto"))
    #expect(try bench.snapshot() == before)
  }

  private func expectSame(
    _ bench: Workbench, _ run: String, _ other: String, step: Int, location: SourceLocation = #_sourceLocation
  ) throws {
    let (lines, expected) = (
      try bench.metrics(run).repeatable(), try bench.metrics(other).repeatable()
    )
    #expect(bench.metrics(other).stepCount() == step, sourceLocation: location)
    #expect(lines.count == expected.count, sourceLocation: location)
    for (line, expected) in zip(lines, expected) { #expect(line == expected, sourceLocation: location) }
    let same = try bench.weights(run, step: step) == bench.weights(other, step: step)
    #expect(same, "the weights of step \(step) differ", sourceLocation: location)
  }
}
