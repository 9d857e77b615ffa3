import Testing

/// Checkpoints that are not what they were.
struct DamagedCheckpointTests {
  private static let file = "rank-00000-of-00001.safetensors"

  /// A flipped bit, or an end that is missing, in what `step-8` consists of.
  @Test func aDamagedCheckpointIsPassedOver() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("whole")
    let expected = try bench.weights("whole", step: 8)
    let length = expected.count
    let damages: [(file: String, reason: String, change: (inout [UInt8]) -> Void)] = [
      (Self.file, "SHA-256", { $0[length / 2] ^= 1 }), (Self.file, "truncated", { $0.removeLast(1) }),
      (Self.file, "truncated", { $0 = [] }), ("manifest.json", "changed or truncated", { $0[3000] ^= 1 }),
      ("manifest.json", "changed or truncated", { $0.removeLast(1000) }),
    ]
    for (index, damage) in damages.enumerated() {
      let run = "damaged-\(index)"
      try bench.copy("runs/whole", to: "runs/\(run)")
      let path = "runs/\(run)/checkpoints/step-8/\(damage.file)"
      try bench.damage(path, damage.change)
      for command in [["evaluate"], ["generate", "--prompt", "a"]] {
        let arguments = command + ["--checkpoint", "runs/\(run)"]
        try Refusal("\(damage)", arguments, says: path, damage.reason).check(bench)
      }
      let outcome = try bench.train(run)
      #expect(outcome.error.contains("passed over a damaged checkpoint: \(path)"), "\(outcome.error)")
      #expect(outcome.error.contains(damage.reason), "\(outcome.error)")
      #expect(outcome.error.contains("resumed from runs/\(run)/checkpoints/step-4 after step 4"))
      #expect(try bench.weights(run, step: 8) == expected)
      #expect(try bench.metrics(run).repeatable() == bench.metrics("whole").repeatable())
    }
  }

  @Test func aRunWithoutAnyWholeCheckpointIsRefused() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("tiny")
    for step in [4, 8] {
      try bench.damage("runs/tiny/checkpoints/step-\(step)/\(Self.file)") { $0[5000] ^= 1 }
    }
    let words = ["no checkpoint is whole", "step-4/\(Self.file)", "step-8/\(Self.file)", "to start again"]
    try Refusal("nothing whole", Workbench.training("tiny"), words: words).check(bench)
    let named = Workbench.training("tiny") + ["--resume", "runs/tiny/checkpoints/step-4"]
    try Refusal("a damaged one by name", named, says: "step-4/\(Self.file)", "SHA-256").check(bench)
  }

  @Test func aCheckpointOfAnotherModelIsRefused() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("tiny")
    let wider = Workbench.training("tiny", ["model.hidden_size=48"])
    try Refusal("a wider model", wider, says: "step-8", "[320, 32]", "[320, 48]").check(bench)
    let deeper = Workbench.training("tiny", ["model.num_hidden_layers=3"])
    try Refusal("a deeper model", deeper, says: "step-8", "smaller model").check(bench)
    let withoutModule = Workbench.training("tiny", ["model.num_nextn_predict_layers=0"])
    try Refusal("a model without its MTP module", withoutModule, says: "step-8", "smaller model").check(bench)
  }

  /// A process that dies between two renames leaves a checkpoint that `latest` does not name yet.
  @Test func theFirstCheckpointIsFoundWithoutLatest() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("tiny")
    let expected = try bench.succeed(["evaluate", "--checkpoint", "runs/tiny", "--json"]).output
    try bench.remove("runs/tiny/checkpoints/latest")
    for path in ["runs/tiny", "runs/tiny/checkpoints"] {
      #expect(try bench.succeed(["evaluate", "--checkpoint", path, "--json"]).output == expected)
    }
    #expect(try bench.train("tiny").error.contains("resumed from runs/tiny/checkpoints/step-8"))
  }
}
