import Foundation
import Testing

/// `hadal bench`: what it measures is there, and what cannot be measured is refused.
struct BenchTests {
  /// Settings that make the tiny recipe one of random tokens.
  private static let synthetic = [
    "data.synthetic=true", "data.directory=null", "evaluation.every=null", "model.vocab_size=320",
  ].flatMap { ["--set", $0] }

  /// And those of a micro-batch for which no machine has the memory.
  private static let terabytes =
    synthetic
    + [
      "training.micro_batch_size=65536", "training.global_batch_size=65536",
      "training.sequence_length=65536", "model.max_position_embeddings=65536",
    ].flatMap { ["--set", $0] }

  private func report(_ bench: Workbench, _ arguments: [String]) throws -> [String: Any] {
    let before = try bench.snapshot()
    let output = try bench.succeed(["bench"] + arguments + ["--json"]).output
    let after = try bench.snapshot()
    #expect(before == after, "a benchmark writes nothing")
    return try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
  }

  /// Machine, threads, level and ceilings that are greater than nothing.
  private func checkHead(_ report: [String: Any]) throws {
    let machine = try #require(report["machine"] as? [String: Any])
    #expect(machine["processor"] is String && (machine["cores"] as? Int ?? 0) >= 1)
    #expect((report["threads"] as? Int ?? 0) >= 1 && report["level"] is String)
    let ceilings = try #require(report["ceilings"] as? [String: [[String: Any]]])
    for (list, key) in [("rates", "gigaflops"), ("bandwidths", "gigabytes_per_second")] {
      let values = try #require(ceilings[list]).compactMap { $0[key] as? Double }
      #expect(!values.isEmpty && values.allSatisfy { $0 > 0 }, "\(list): \(values)")
    }
  }

  /// Name, then N and K of the forward product, of every matrix of the tiny recipe.
  private static let matrices: [(String, Int, Int)] = [
    ("q_a", 24, 32), ("q_b", 32, 24), ("kv_a", 24, 32), ("kv_b", 48, 16), ("o", 32, 32),
    ("dense gate_up", 128, 32), ("dense down", 32, 64), ("router gate", 8, 32), ("experts gate_up", 32, 32),
    ("experts down", 32, 16), ("shared gate_up", 32, 32), ("shared down", 32, 16), ("mtp eh_proj", 32, 64),
    ("head", 320, 32),
  ]

  /// Between ranks: one alone has nothing to exchange.
  @Test func exchangeTakesSeveralRanks() throws {
    try Refusal("one rank", ["bench", "exchange"], says: "ranks", "mpirun.sh -n 2 bench exchange")
      .check(try Workbench())
  }

  @Test(arguments: ["float32", "bfloat16"])
  func everyProductOfTheModelIsMeasured(precision: String) throws {
    let settings = ["--set", "model.q_lora_rank=24", "--set", "precision.mode=\(precision)"]
    let report = try report(try Workbench(), ["gemm", "tiny.yaml"] + Self.synthetic + settings)
    try checkHead(report)
    let results = try #require(report["results"] as? [[String: Any]])
    #expect(results.count == 3 * Self.matrices.count)
    for (name, n, k) in Self.matrices {
      // Micro-batches of 2 · 32 tokens, of which each goes to 2 experts.
      let isExpert = name.hasPrefix("experts")
      let rows = isExpert ? 128 : 64
      let sizes = [
        "forward": [rows, n, k], "input gradient": [rows, k, n], "weight gradient": [n, k, rows],
      ]
      for (kind, size) in sizes {
        let result = try #require(
          results.first { $0["name"] as? String == name && $0["kind"] as? String == kind }, "\(name) \(kind)")
        #expect(["m", "n", "k"].map { result[$0] as? Int } == size, "\(name) \(kind)")
        #expect(result["dtype"] as? String == (name == "router gate" ? "float32" : precision))
        #expect((result["groups"] as? [Int])?.reduce(0, +) == (isExpert ? 128 : nil))
        #expect((result["groups"] as? [Int])?.count == (isExpert ? 8 : nil))
        #expect((result["runs"] as? Int ?? 0) >= 7)
        for key in ["microseconds", "gigaflops_per_second", "bytes", "share_of_ceiling", "uses"] {
          #expect((result[key] as? Double ?? 0) > 0, "\(name) \(kind) \(key)")
        }
      }
    }
  }

  /// Products of codes beside those of numbers, for the model's rows and for others.
  @Test func productsOfCodesAreMeasuredBesideThoseOfNumbers() throws {
    let settings = ["--set", "precision.mode=fp8", "--tokens-per-expert", "3", "20"]
    let report = try report(try Workbench(), ["gemm", "tiny.yaml"] + Self.synthetic + settings)
    try checkHead(report)
    let results = try #require(report["results"] as? [[String: Any]])
    let ofModel = results.filter { $0["tokens_per_expert"] == nil }
    let names =
      ["q", "kv_a", "kv_b", "o"] + Self.matrices.map(\.0).filter { $0.contains(/dense|experts|shared/) }
    #expect(ofModel.compactMap { $0["name"] as? String } == names.flatMap { [$0, $0, $0] })
    #expect(
      results.compactMap { $0["tokens_per_expert"] as? Int }
        == [3, 20].flatMap { [Int](repeating: $0, count: 6) })
    for result in results {
      let timings = try #require(result["timings"] as? [[String: Any]])
      #expect(
        timings.compactMap { $0["variant"] as? String } == [
          "float32", "bfloat16", "fp8, float32 scales promoted", "fp8, powers of two folded",
        ])
      for (i, timing) in timings.enumerated() {
        #expect(
          (timing["microseconds"] as? Double ?? 0) > 0 && (timing["times_bfloat16"] as? Double ?? 0) > 0)
        let errors = timing["errors"] as? [String: Double]
        #expect((errors == nil) == (i < 2))
        guard let errors else { continue }
        #expect((errors["relative_error"] ?? 1) <= 1e-6 && 0..<1e-3 ~= errors["dissimilarity"] ?? 1)
      }
      #expect(timings[1]["times_bfloat16"] as? Double == 1 && (result["rounds"] as? Int ?? 0) >= 7)
      if let tokens = result["tokens_per_expert"] as? Int {
        #expect(result["groups"] as? [Int] == .init(repeating: tokens, count: 8) && result["uses"] == nil)
      }
    }
  }

  /// The tokenizer is asked for the vocabulary; one query matrix when queries are not compressed.
  @Test func aVocabularyOfTheTokenizerIsTaken() throws {
    let bench = try Workbench()
    try bench.prepare()
    let output = try bench.succeed(["bench", "gemm", "tiny.yaml"]).output
    let lines = output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(lines.contains { $0.starts(with: ["head", "forward", "float32", "64", "320", "32", "2"]) })
    #expect(lines.contains { $0.starts(with: ["q", "forward", "float32", "64", "32", "32", "3"]) })
    #expect(output.contains("GFLOP/s") && output.contains("µs") && !output.contains("q_a"))
  }

  @Test(arguments: ["float32", "bfloat16"])
  func attentionIsMeasuredAtEachLength(precision: String) throws {
    let report = try report(
      try Workbench(),
      ["attention", "tiny.yaml", "--sequence", "1", "7", "70", "--set", "precision.mode=\(precision)"])
    try checkHead(report)
    let results = try #require(report["results"] as? [[String: Any]])
    #expect(results.map { $0["sequence"] as? Int } == [1, 1, 7, 7, 70, 70])
    #expect(results.map { $0["sequences"] as? Int } == [64, 64, 9, 9, 1, 1])
    #expect(
      results.map { $0["direction"] as? String } == (0..<6).map { $0 % 2 == 0 ? "forward" : "backward" })
    for result in results {
      #expect(result["dtype"] as? String == precision && result["heads"] as? Int == 2)
      #expect((result["microseconds"] as? Double ?? 0) > 0)
    }
  }

  @Test func memoryIsMeasured() throws {
    let report = try report(try Workbench(), ["memory", "--threads", "1"])
    try checkHead(report)
    let ceilings = try #require(report["ceilings"] as? [String: [[String: Any]]])
    let bandwidths = try #require(ceilings["bandwidths"])
    let patterns = ["read", "copy", "streaming copy", "triad"]
    #expect(bandwidths.map { $0["pattern"] as? String } == patterns.flatMap { [$0, $0, $0] })
    #expect(bandwidths.map { $0["bytes"] as? Int } == patterns.flatMap { _ in [1 << 20, 1 << 25, 1 << 28] })
  }

  @Test func stepsAreMeasured() throws {
    let report = try report(
      try Workbench(), ["step", "tiny.yaml", "--steps", "4", "--profiled", "2"] + Self.synthetic)
    let steps = try #require(report["steps"] as? [[String: Any]])
    #expect(steps.count == 4 && report["tokens"] as? Int == 128)
    for step in steps {
      #expect((step["seconds"] as? Double ?? 0) > 0 && (step["loss"] as? Double ?? 0) > 0)
      for key in ["system_allocations", "minor_page_faults", "major_page_faults"] {
        #expect((step[key] as? Int ?? -1) >= 0, "\(key)")
      }
    }
    let median = try #require(report["step_seconds"] as? Double)
    let seconds = steps.compactMap { $0["seconds"] as? Double }.sorted()
    // Within the rounding of seconds that went through text.
    #expect(abs(median - (seconds[1] + seconds[2]) / 2) < 1e-12)
    #expect((report["peak_memory_bytes"] as? Int ?? 0) > 1 << 20)
    #expect((report["activation_bytes"] as? Int ?? 0) > 1 << 14)
    // Shares of the kinds, with what is not in kernels, are the whole.
    let breakdown = try #require(report["breakdown"] as? [String: Any])
    let kinds = try #require(breakdown["kinds"] as? [[String: Any]])
    let sum = kinds.compactMap { $0["share"] as? Double }.reduce(0, +)
    #expect(abs(sum - 1) < 1e-9 && breakdown["steps"] as? Int == 2)
  }

  /// Checkpoints of the run are neither read nor in the way.
  @Test func stepsBeginFromInitialWeightsBesideARun() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("tiny", ["training.steps=2", "evaluation.every=null"])
    let report = try report(bench, ["step", "tiny.yaml", "--steps", "1", "--warmup", "1", "--profiled", "0"])
    #expect(report["breakdown"] == nil && (report["steps"] as? [Any])?.count == 1)
  }

  @Test(arguments: [
    Refusal("a missing file", ["bench", "gemm", "missing.yaml"], says: "missing.yaml: no such file"),
    Refusal("no configuration", ["bench", "step"], says: "<config>"),
    Refusal(
      "a sequence of nothing", ["bench", "attention", "--sequence", "0"], says: "--sequence", "from 1"),
    Refusal(
      "attention that does not fit", ["bench", "attention", "tiny.yaml", "--sequence", "32"] + terabytes,
      says: "attention at sequence 32", "needs", "--set"),
    Refusal("a sequence that is no number", ["bench", "attention", "--sequence", "long"], says: "sequence"),
    Refusal(
      "a setting without a configuration", ["bench", "attention", "--set", "training.steps=1"],
      says: "--set", "none is named"),
    Refusal("no steps", ["bench", "step", "tiny.yaml", "--steps", "0"], says: "--steps", "at least 1"),
    Refusal("no warm-up", ["bench", "step", "tiny.yaml", "--warmup", "0"], says: "--warmup", "at least 1"),
    Refusal("no threads", ["bench", "memory", "--threads", "0"], says: "--threads", "at least 1"),
    Refusal("an unknown benchmark", ["bench", "speed"], says: "speed"),
    Refusal(
      "a misspelt key", ["bench", "gemm", "tiny.yaml", "--set", "model.hiden_size=32"],
      says: "did you mean hidden_size?"),
    Refusal(
      "tokens of experts without FP8", ["bench", "gemm", "tiny.yaml", "--tokens-per-expert", "16"],
      says: "--tokens-per-expert", "precision.mode=fp8"),
    Refusal(
      "experts without tokens",
      ["bench", "gemm", "tiny.yaml", "--set", "precision.mode=fp8", "--tokens-per-expert", "0"] + synthetic,
      says: "--tokens-per-expert", "from 1"),
    Refusal(
      "tokens of experts that are not in FP8",
      [
        "bench", "gemm", "tiny.yaml", "--set", "precision.mode=fp8", "--set",
        "precision.fp8.matrices=[attention]",
      ]
        + synthetic + ["--tokens-per-expert", "16"], says: "--tokens-per-expert", "routed_experts"),
    Refusal("no corpus", ["bench", "step", "tiny.yaml"], says: "corpus/train.tokens", "hadal prepare"),
    Refusal(
      "products that do not fit", ["bench", "gemm", "tiny.yaml"] + terabytes, says: "q needs", "--set"),
  ])
  func whatCannotBeMeasuredIsRefused(refusal: Refusal) throws { try refusal.check(Workbench()) }

  @Test func anUnknownLevelIsRefused() throws {
    let refusal = Refusal("a level", ["bench", "memory"], says: "HADAL_ISA=mmx", "portable")
    try refusal.check(Workbench(), environment: ["HADAL_ISA": "mmx"])
  }
}
