import Foundation
import Testing

/// Layers that left FP8 while a run went on.
struct Float8FallBackTests {
  /// What `evaluate` finds is what the run found at its end: with the same layers in bfloat16.
  @Test func evaluationKnowsWhichLayersHaveLeft() throws {
    let bench = try Workbench()
    try bench.prepare()
    let outcome = try bench.train(
      "left",
      [
        "precision={mode: fp8, fp8: {health_every: 3, fall_back: fall_back, flushed_limit: 0}}",
        "evaluation.max_tokens=all",
      ])
    #expect(outcome.error.contains("multiplied in bfloat16 from step 4 on"), "\(outcome.error)")
    let manifest = try bench.bytes("runs/left/checkpoints/step-8/manifest.json")
    #expect(String(decoding: manifest, as: UTF8.self).contains("\"fp8.fallen_back\": \""))
    let last = try #require(try bench.metrics("left").evaluations().last)
    let json = try bench.succeed(["evaluate", "--checkpoint", "runs/left", "--json"]).output
    let values = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Double]
    #expect(values?["loss"] == last["loss"] as? Double)
  }
}
