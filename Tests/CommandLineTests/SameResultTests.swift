import Foundation
import Testing

/// What must not change the result, and what may change it by rounding only.
struct SameResultTests {
  @Test func theNumberOfThreadsChangesNoBit() throws {
    let bench = try Workbench()
    try bench.prepare()
    for mode in ["float32", "bfloat16", "fp8"] {
      for threads in 1...3 {
        try bench.train("\(mode)-\(threads)", ["training.threads=\(threads)", "precision.mode=\(mode)"])
      }
      for threads in 2...3 {
        let same = try bench.metrics("\(mode)-\(threads)").repeatable()
        #expect(try same == bench.metrics("\(mode)-1").repeatable())
        #expect(try bench.weights("\(mode)-\(threads)", step: 8) == bench.weights("\(mode)-1", step: 8))
      }
    }
  }

  @Test(arguments: ["float32", "fp8"])
  func recomputationChangesNoBit(mode: String) throws {
    let bench = try Workbench()
    try bench.prepare()
    let precision = "precision.mode=\(mode)"
    try bench.train("kept", [precision])
    try bench.train("recomputed", [precision, "training.recompute=[norms, up_projections, swiglu]"])
    #expect(try bench.metrics("recomputed").repeatable() == bench.metrics("kept").repeatable())
    #expect(try bench.weights("recomputed", step: 8) == bench.weights("kept", step: 8))
  }

  @Test func instructionSetsAgree() throws {
    let bench = try Workbench()
    try bench.prepare()
    // The refusal of a name that does not exist lists those that do.
    let refusal = try bench.run(Workbench.training("none"), environment: ["HADAL_ISA": "nonsense"])
    let list = try #require(refusal.error.split(separator: "it has ").last)
    let levels = list.trimmingCharacters(in: .whitespacesAndNewlines).components(separatedBy: ", ")
    #expect(levels.contains("portable"))
    for level in levels { try bench.train(level, environment: ["HADAL_ISA": level]) }
    for level in levels where level != "portable" {
      // Weights are the same in the first step: a mean over 128 tokens of results that differ in the last of 24 bits,
      // and the same experts. Later AdamW divides by the root of v, which makes small differences larger.
      let first = try compare(
        bench, level, with: "portable", steps: 0..<1, [("loss", 1e-7), ("gradient_norm", 1e-6)])
      #expect(try first == loads(bench, "portable", 0..<1))
      _ = try compare(bench, level, with: "portable", steps: 1..<8, [("loss", 1e-5)])
    }
  }

  /// Compares numbers of the steps of two runs, by relative difference, and gives the loads of the first one.
  private func compare(
    _ bench: Workbench, _ run: String, with other: String, steps: Range<Int>, _ limits: [(String, Double)]
  ) throws -> [[[String: Double]]] {
    for (key, limit) in limits {
      let (found, expected) = (try bench.metrics(run).values(key), try bench.metrics(other).values(key))
      try #require(found.count >= steps.upperBound && expected.count == found.count)
      for step in steps {
        let (value, expected) = (found[step], expected[step])
        let difference = abs(value - expected)
        #expect(difference <= limit * expected, "\(key), \(run), \(step): \(value) is not \(expected)")
      }
    }
    return try loads(bench, run, steps)
  }

  /// What the steps say of each layer: how even its loads are, and its smallest and largest bias.
  private func loads(_ bench: Workbench, _ run: String, _ steps: Range<Int>) throws -> [[[String: Double]]] {
    try bench.metrics(run).steps()[steps].map { try #require($0["layers"] as? [[String: Double]]) }
  }

  /// The loss is divided by the tokens of the whole batch, not by those of a micro-batch, and biases follow its loads.
  @Test func theMicroBatchSizeChangesOnlyRounding() throws {
    let bench = try Workbench()
    try bench.prepare()
    let settings = [
      "training.global_batch_size=4", "training.steps=3", "training.mtp_document_boundaries=true",
      "training.sequence_balance_loss=0.01",
    ]
    for rows in [1, 2, 4] { try bench.train("\(rows)", settings + ["training.micro_batch_size=\(rows)"]) }
    let expected = try loads(bench, "4", 0..<3)
    // γ = 0.001 a step, up and down.
    let biases = expected[0].map { [$0["bias_min"], $0["bias_max"]] }
    #expect(biases == [[-0.001, 0.001], [-0.001, 0.001]], "\(biases)")
    let losses = ["loss", "loss_main", "loss_mtp", "loss_balance"].map { ($0, 1e-6) }
    for rows in [1, 2] {
      let first = try compare(bench, "\(rows)", with: "4", steps: 0..<1, losses + [("gradient_norm", 1e-6)])
      let later = try compare(bench, "\(rows)", with: "4", steps: 1..<3, losses + [("gradient_norm", 1e-4)])
      #expect(first + later == expected, "\(rows)")
    }
  }

  @Test func theSeedChangesTheRun() throws {
    let bench = try Workbench()
    try bench.prepare()
    for seed in [1, 2] { try bench.train("\(seed)", ["training.seed=\(seed)", "training.steps=1"]) }
    #expect(try bench.metrics("1").values("loss") != bench.metrics("2").values("loss"))
  }
}
