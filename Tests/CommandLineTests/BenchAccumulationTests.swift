import Foundation
import Testing

/// `hadal bench accumulation`: the paper's observation can be made with it.
struct BenchAccumulationTests {
  private func errors(
    _ result: [String: Any], _ key: String
  ) throws -> (maximum: Double, dissimilarity: Double) {
    let errors = try #require(result[key] as? [String: Double], "\(key)")
    return (try #require(errors["maximum_relative"]), try #require(errors["dissimilarity"]))
  }

  private func results(_ arguments: [String]) throws -> [[String: Any]] {
    let bench = try Workbench()
    let before = try bench.snapshot()
    let output = try bench.succeed(["bench", "accumulation", "--json"] + arguments).output
    #expect(try bench.snapshot() == before, "a study writes nothing")
    let report = try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
    #expect(report["level"] is String && report["interval"] as? Int == 128)
    return try #require(report["results"] as? [[String: Any]])
  }

  @Test func errorsGrowWithLengthUnlessSumsArePromoted() throws {
    let results = try results(["--k", "256", "4096"])
    #expect(results.map { $0["k"] as? Int } == [256, 256, 4096, 4096])
    #expect(results.map { $0["values"] as? String } == ["normal", "uniform", "normal", "uniform"])
    for (short, long) in zip(results, results.dropFirst(2)) {
      let (before, after) = (try errors(short, "unpromoted"), try errors(long, "unpromoted"))
      #expect(after.maximum > 2 * before.maximum && after.dissimilarity > 4 * before.dissimilarity)
      let promoted = try errors(long, "promoted")
      #expect(after.maximum > 5 * promoted.maximum && after.dissimilarity > 25 * promoted.dissimilarity)
      let float32 = try errors(long, "float32")
      #expect(float32.maximum < 1e-5 && promoted.maximum > 10 * float32.maximum)
      #expect(float32.dissimilarity >= 0 && promoted.maximum < 2e-3)
    }
  }

  @Test func moreBitsAreBetter() throws {
    let few = try results(["--k", "512", "--bits", "10"])
    let many = try results(["--k", "512", "--bits", "18"])
    for (few, many) in zip(few, many) {
      for key in ["promoted", "unpromoted"] {
        #expect(try errors(few, key).maximum > 50 * errors(many, key).maximum, "\(key)")
      }
    }
  }

  @Test func theTableHasALineForEachLength() throws {
    let output = try Workbench().succeed(["bench", "accumulation", "--k", "96", "33", "--bits", "12"]).output
    let lines = output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(output.contains("12 bits, every 128"))
    for start in [["normal", "96"], ["normal", "33"], ["uniform", "96"], ["uniform", "33"]] {
      #expect(lines.contains { $0.starts(with: start) && $0.filter { $0 == "%" }.count == 3 }, "\(output)")
    }
  }

  @Test(arguments: [
    Refusal("one bit", ["bench", "accumulation", "--bits", "1"], says: "--bits", "from 2 to 24"),
    Refusal("more than float32", ["bench", "accumulation", "--bits", "25"], says: "--bits", "from 2 to 24"),
    Refusal("no terms", ["bench", "accumulation", "--k", "512", "0"], says: "--k", "from 1 to 65536"),
    Refusal("too many terms", ["bench", "accumulation", "--k", "65537"], says: "--k", "from 1 to 65536"),
  ])
  func whatCannotBeStudiedIsRefused(refusal: Refusal) throws { try refusal.check(Workbench()) }
}
