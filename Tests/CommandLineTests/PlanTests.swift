import Foundation
import Testing

/// `hadal plan`: what it prints, and what it refuses.
struct PlanTests {
  private static let v3 = ["plan", PackageRoot.path("configs/deepseek-v3.yaml")]

  private func output(_ arguments: [String]) throws -> String { try Workbench().succeed(arguments).output }

  private func object(_ arguments: [String]) throws -> [String: Any] {
    let data = Data(try output(arguments + ["--json"]).utf8)
    return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  /// Source: DeepSeek-V3, arXiv:2412.19437, §3.2.
  @Test func deepSeekV3HasItsOwnLayout() throws {
    let machine = ["--flops", "4e14", "--bandwidth", "5e10", "--latency", "1e-5"]
    let plan = try object(Self.v3 + ["--ranks", "2048", "--ranks-per-node", "8"] + machine)
    for (key, value) in [
      ("pipeline", 16), ("data", 128), ("expert", 64), ("experts_per_rank", 4), ("microbatches", 120),
    ] {
      #expect(plan[key] as? Int == value, "\(key)")
    }
    #expect((plan["parameters"] as? [String: Int])?["main"] == 671_026_404_352)
    #expect(plan["schedule"] as? String == "dualpipe" && plan["is_two_level"] as? Bool == true)
    let places = try #require(plan["places"] as? [[String: Any]])
    #expect(places.count == 16 && places.allSatisfy { $0["live_microbatches"] as? Int == 17 })
    let prediction = try #require(plan["prediction"] as? [String: Double])
    let seconds = try #require(prediction["step_seconds"])
    #expect(prediction["tokens_per_second"] == 15360 * 4096 / seconds)
  }

  @Test func textNamesWhatLiesWhere() throws {
    let text = try output(Self.v3 + ["--ranks", "2048", "--ranks-per-node", "8"])
    for line in [
      "671.03 B parameters, of which a token uses 37.55 B, and 11.61 B of MTP; fp8",
      "2048 ranks on 256 nodes: pipeline 16 x data 128, expert 64; tokens cross to a node once",
      "experts: 4 of the 256 of each layer on a rank; of every 64 ranks rank 0 holds 0-3, rank 63 holds 252-255",
      "15     1920-2047  240-255  15: tL (60); 0: Et*4 (0-3)", "14 to 15           60                 60",
      "Time of a step: give --flops",
    ] {
      #expect(text.contains(line), "\(line)\n\(text)")
    }
  }

  @Test func speedIsMeasuredWhereItIsAskedFor() throws {
    let bench = [
      "plan", PackageRoot.path("configs/bench.yaml"), "--ranks", "2", "--set", "training.micro_batch_size=2",
      "--measure",
    ]
    let prediction = try #require(try object(bench)["prediction"] as? [String: Any])
    #expect(try #require(prediction["flops"] as? Double) > 0 && prediction["bandwidth"] == nil)
  }

  /// How many of the ranks that are left a run can go on with: 16 places of 64 ranks that share experts.
  @Test func largestNumberOfRanksThatFits() throws {
    for (ranks, largest) in [("2048", 2048), ("2047", 1024), ("1024", 1024)] {
      #expect(try output(Self.v3 + ["--ranks", ranks, "--largest"]) == "\(largest)\n")
    }
    let outcome = try Workbench().run(Self.v3 + ["--ranks", "1023", "--largest"])
    #expect(outcome.ending == .exit(2))
    #expect(outcome.error.contains("but 1023 ranks were started"), "\(outcome.error)")
  }

  @Test(arguments: [
    (["--ranks", "2047"], "pipeline (16) × parallel.data (127) is 2032, but 2047 ranks were started"),
    (["--ranks", "2047"], "parallel.expert (64) does not divide parallel.data (127)"),
    (["--ranks", "2047"], "training.global_batch_size (4096) must be a multiple of"),
    (["--ranks", "0"], "--ranks 0: must be from 1"),
    (["--ranks", "2048", "--ranks-per-node", "0"], "--ranks-per-node 0"),
    (["--ranks", "2048", "--flops", "0"], "--flops 0.0: must be a number greater than 0"),
    (["--ranks", "2048", "--latency", "1"], "no effect without --flops"),
    (["--ranks", "2048", "--flops", "1", "--measure"], "give one of them"),
    (["--ranks", "2048", "--largest", "--json"], "--largest prints one number"),
    (["--ranks", "2048", "--set", "model.vocab_size=auto"], "model.vocab_size: is auto"),
    (["--ranks", "2048", "--set", "parallel.stages=E|tL"], "parallel.stages"),
    (["--ranks", "2048", "--set", "parallel.nothing=1"], "unknown key"),
  ])
  func refusals(arguments: [String], message: String) throws {
    let outcome = try Workbench().run(Self.v3 + arguments)
    #expect(outcome.ending == .exit(2))
    #expect(outcome.error.contains(message), "\(outcome.error)")
  }
}
