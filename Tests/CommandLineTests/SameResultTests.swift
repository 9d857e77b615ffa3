import Foundation
import Testing

/// What must not change the result, and what may change it by rounding only.
struct SameResultTests {
  @Test func theNumberOfThreadsChangesNoBit() throws {
    let bench = try Workbench()
    try bench.prepare()
    for mode in ["float32", "bfloat16"] {
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

  @Test func recomputationChangesNoBit() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("kept")
    try bench.train("recomputed", ["training.recompute=[norms, up_projections, swiglu]"])
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
    let expected = try bench.metrics("portable").values("loss")
    #expect(expected.count == 8)
    for level in levels {
      let losses = try bench.metrics(level).values("loss")
      #expect(losses.count == 8)
      for (loss, expected) in zip(losses, expected) {
        #expect(abs(loss - expected) <= 1e-4 * expected, "\(level): \(loss) is not \(expected)")
      }
    }
  }

  /// The loss is divided by the tokens of the whole batch, not by those of a micro-batch.
  @Test func theMicroBatchSizeChangesOnlyRounding() throws {
    let bench = try Workbench()
    try bench.prepare()
    let settings = [
      "training.global_batch_size=4", "training.steps=1", "training.mtp_document_boundaries=true",
    ]
    for rows in [1, 2, 4] { try bench.train("\(rows)", settings + ["training.micro_batch_size=\(rows)"]) }
    for key in ["loss", "loss_main", "loss_mtp", "loss_balance", "gradient_norm"] {
      let expected = try #require(try bench.metrics("4").values(key).first)
      for rows in [1, 2] {
        let value = try #require(try bench.metrics("\(rows)").values(key).first)
        #expect(abs(value - expected) <= 1e-5 * expected, "\(key), \(rows): \(value) is not \(expected)")
      }
    }
  }

  @Test func theSeedChangesTheRun() throws {
    let bench = try Workbench()
    try bench.prepare()
    for seed in [1, 2] { try bench.train("\(seed)", ["training.seed=\(seed)", "training.steps=1"]) }
    #expect(try bench.metrics("1").values("loss") != bench.metrics("2").values("loss"))
  }
}
