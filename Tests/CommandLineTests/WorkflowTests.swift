import Foundation
import Testing

/// From a text to a model that writes, as a user does it.
struct WorkflowTests {
  @Test func textBecomesAModelThatWrites() throws {
    let bench = try Workbench()
    try bench.prepare()
    let training = try bench.train("tiny")
    #expect(training.error.contains("step 8/8"))
    try checkRunDirectory(bench)
    try checkEvaluation(bench)
    try checkGeneration(bench)
  }

  private func checkRunDirectory(_ bench: Workbench) throws {
    let names = try bench.names("runs/tiny")
    #expect(names.count == 5, "\(names)")
    #expect(Set(["checkpoints", "config.yaml", "metrics.jsonl", "tokenizer.json"]).isSubset(of: names))
    let events = try #require(names.first { $0.hasPrefix("events.out.tfevents.") })
    #expect(try bench.bytes("runs/tiny/\(events)").count > 1000)
    #expect(try bench.bytes("runs/tiny/tokenizer.json") == bench.bytes("corpus/tokenizer.json"))
    #expect(try bench.checkpoints("tiny") == [4, 8])
    #expect(try bench.text("runs/tiny/checkpoints/latest") == "step-8\n")
    let text = try bench.bytes("runs/tiny/checkpoints/step-8/manifest.json")
    let manifest = try #require(try JSONSerialization.jsonObject(with: Data(text)) as? [String: Any])
    #expect(manifest["step"] as? Int == 8)
    #expect(manifest["tokens"] as? Int == 8 * 4 * 32)
    let configuration = try #require(manifest["configuration"] as? String)
    #expect(try configuration == bench.text("runs/tiny/config.yaml"))
  }

  @Test func metricsHaveOneObjectAStep() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("tiny")
    let steps = try bench.metrics("tiny").steps()
    #expect(steps.map { $0["step"] as? Int } == Array(1...8))
    #expect(steps.map { $0["tokens"] as? Int } == (1...8).map { $0 * 4 * 32 })
    for step in steps {
      let (main, mtp) = (step["loss_main"] as? Double ?? .nan, step["loss_mtp"] as? Double ?? .nan)
      let (total, balance) = (step["loss"] as? Double ?? .nan, step["loss_balance"] as? Double ?? .nan)
      #expect(abs(total - (main + 0.3 * mtp + balance)) < 1e-9 * total)
      for key in ["gradient_norm", "tokens_per_second", "step_seconds"] {
        #expect(step[key] as? Double ?? 0 > 0, "\(key)")
      }
      let layers = try #require(step["layers"] as? [[String: Any]])
      #expect(layers.map { $0["layer"] as? Int } == [1, 2])
    }
    // Linear to 3e-3 over 4 steps, from nothing.
    let rates = try bench.metrics("tiny").values("learning_rate")
    for (index, rate) in rates.prefix(4).enumerated() {
      #expect(abs(rate - 3e-3 * Double(index + 1) / 4) < 1e-12)
    }
    let losses = try bench.metrics("tiny").values("loss_main")
    // ln 320: nothing is known at first.
    #expect(abs(losses[0] - 5.77) < 0.05)
    #expect(losses[7] < losses[0] - 0.3)
    #expect(try bench.metrics("tiny").evaluations().map { $0["step"] as? Int } == [4, 8])
  }

  @Test func theResolvedConfigurationTrainsAgain() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.train("tiny", ["optimizer.moments=float32", "training.seed=5"])
    try bench.succeed(["train", "runs/tiny/config.yaml", "--set", "run.name=again"])
    #expect(try bench.metrics("again").repeatable() == bench.metrics("tiny").repeatable())
    #expect(try bench.weights("again", step: 8) == bench.weights("tiny", step: 8))
  }

  @Test func whatIsPipedIsPlainText() throws {
    let bench = try Workbench()
    try bench.prepare()
    try bench.write("more.txt", TinyRecipe.text)
    let commands = [
      ["prepare", "--input", "more.txt", "--separator", "%", "--vocab-size", "300", "--output", "more"],
      Workbench.training("tiny"), ["evaluate", "--checkpoint", "runs/tiny"],
    ]
    for command in commands {
      let outcome = try bench.succeed(command, environment: ["TERM": "xterm"])
      for text in [outcome.output, outcome.error] {
        #expect(text.utf8.allSatisfy { $0 == 0x0a || $0 >= 0x20 && $0 != 0x7f }, "\(command): \(text)")
      }
    }
  }

  /// What `evaluate` finds is what the run itself found at its end.
  private func checkEvaluation(_ bench: Workbench) throws {
    try bench.train("all", ["evaluation.max_tokens=all"])
    let last = try #require(try bench.metrics("all").evaluations().last)
    let json = try bench.succeed(["evaluate", "--checkpoint", "runs/all", "--json"]).output
    let values = try #require(
      try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Double])
    let loss = try #require(values["loss"])
    #expect(loss == last["loss"] as? Double)
    #expect(abs((values["perplexity"] ?? 0) - exp(loss)) < 1e-12 * exp(loss))
    let (tokens, bytes) = (try #require(values["tokens"]), try #require(values["bytes"]))
    let bits = try #require(values["bits_per_byte"])
    #expect(abs(bits - loss * tokens / log(2) / bytes) < 1e-12 * bits)
    // What was held out, as `prepare` counted it: each token but the first is predicted, and stands for its text.
    let heldOut = try heldOut(bench)
    #expect(heldOut.tokens > 500 && heldOut.bytes > heldOut.tokens)
    #expect(tokens == Double(heldOut.tokens - 1))
    #expect(bytes == Double(heldOut.bytes))
    #expect((0...1).contains(values["mtp_acceptance"] ?? -1))
    let byFile = ["evaluate", "--checkpoint", "runs/all/checkpoints/step-8", "--data", "corpus", "--json"]
    #expect(try bench.succeed(byFile).output == json)
  }

  /// The held-out part of the corpus in its `corpus.json`; its bytes are those of its text without separators.
  private func heldOut(_ bench: Workbench) throws -> (tokens: Int, bytes: Int) {
    let text = try bench.bytes("corpus/corpus.json")
    let report = try #require(try JSONSerialization.jsonObject(with: Data(text)) as? [String: Any])
    let split = try #require(report["validation"] as? [String: Any])
    return (try #require(split["tokens"] as? Int), try #require(split["bytes"] as? Int))
  }

  private func checkGeneration(_ bench: Workbench) throws {
    func sample(_ options: [String]) throws -> String {
      let prompt = ["--prompt", "the sea", "--tokens", "12"]
      return try bench.succeed(["generate", "--checkpoint", "runs/tiny"] + prompt + options).output
    }
    let first = try sample(["--seed", "1", "--temperature", "1"])
    #expect(first.hasPrefix("the sea") && first.count > "the sea\n".count)
    #expect(try sample(["--seed", "1", "--temperature", "1"]) == first)
    #expect(try sample(["--seed", "2", "--temperature", "1"]) != first)
    #expect(
      try sample(["--temperature", "0", "--seed", "1"]) == sample(["--temperature", "0", "--seed", "2"]))
  }

  @Test func tokenizersAreTrainedAndUsed() throws {
    let bench = try Workbench()
    try bench.write("text.txt", TinyRecipe.text)
    try bench.succeed([
      "tokenizer", "train", "--input", "text.txt", "--separator", "%", "--vocab-size", "300", "--output",
      "own.json",
    ])
    let text = "the sea is deep — und 🌊\n\tdown"
    try bench.write("some.txt", text)
    let ids = try bench.succeed(["tokenizer", "encode", "--tokenizer", "own.json", "--input", "some.txt"])
    try bench.write("some.ids", ids.output)
    let decoded = try bench.succeed(["tokenizer", "decode", "--tokenizer", "own.json", "--input", "some.ids"])
    #expect(decoded.output == text)
    let count = ids.output.split(separator: " ").count
    #expect(count > 5 && count < text.utf8.count, "\(ids.output)")
  }
}
