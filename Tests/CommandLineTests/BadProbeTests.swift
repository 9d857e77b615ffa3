import Foundation
import Testing

/// `hadal probe` on models and inputs that cannot be used.
struct BadProbeTests {
  private let bench: Workbench

  init() throws {
    bench = try Workbench()
    try FileManager.default.createDirectory(atPath: "\(bench.path)/model", withIntermediateDirectories: true)
    for name in ["config.json", "model.safetensors"] {
      try FileManager.default.copyItem(
        atPath: PackageRoot.path("Tests/Oracle/tiny_a/\(name)"), toPath: "\(bench.path)/model/\(name)")
    }
    try bench.write("good.safetensors", Self.input(Array(0..<16), [2, 8]))
  }

  /// A safetensors file with one tensor of integers.
  private static func input<Element: FixedWidthInteger>(
    _ values: [Element], _ shape: [Int], type: String = "I64", name: String = "input_ids"
  ) -> [UInt8] {
    let body = values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    let entry = "{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[0,\(body.count)]}"
    let header = Array("{\"\(name)\":\(entry)}".utf8)
    return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header + body
  }

  private func refuse(
    _ name: String, model: String = "model", input: String = "good.safetensors", options: [String] = [],
    says words: String..., location: SourceLocation = #_sourceLocation
  ) throws {
    let command = ["probe", "--model", model, "--input", input, "--output", "out.safetensors"]
    try Refusal(name, command + options, words: words).check(bench, location: location)
  }

  @Test func inputsAreChecked() throws {
    let (ids, narrow) = ([Int64](0..<16), [Int32](0..<16))
    let inputs: [(name: String, bytes: [UInt8], word: String)] = [
      ("below zero", Self.input([3, -1, 5, 6] as [Int64], [1, 4]), "[0, 1] is -1"),
      ("beyond the vocabulary", Self.input([3, 4, 5, 320] as [Int64], [2, 2]), "[1, 1] is 320"),
      ("beyond 32 bits", Self.input([3, 1 << 32] as [Int64], [1, 2]), "[0, 1] is 4294967296"),
      ("32-bit ids", Self.input(narrow, [2, 8], type: "I32"), "must be int64 [B, S], but is I32"),
      ("one dimension", Self.input(ids, [16]), "must be int64 [B, S], but is I64 [16]"),
      ("three dimensions", Self.input(ids, [2, 2, 4]), "must be int64 [B, S], but is I64 [2, 2, 4]"),
      ("no rows", Self.input([] as [Int64], [0, 8]), "has no rows"),
      ("nothing to predict", Self.input(ids, [16, 1]), "nothing can be predicted"),
      ("another name", Self.input(ids, [2, 8], name: "tokens"), "input_ids"),
      ("fewer ids than it says", Self.input(ids, [3, 8]), "input_ids"), ("nothing", [], "0 bytes cannot be"),
      ("a header cut off", Array(Self.input(ids, [2, 8]).prefix(40)), "truncated"),
      ("data cut off", Array(Self.input(ids, [2, 8]).dropLast()), "input_ids"),
    ]
    for (name, bytes, word) in inputs {
      try bench.write("bad.safetensors", bytes)
      try refuse(name, input: "bad.safetensors", says: "bad.safetensors", word)
    }
    try refuse("no file", input: "none.safetensors", says: "none.safetensors")
    try bench.succeed([
      "probe", "--model", "model", "--input", "good.safetensors", "--output", "out.safetensors",
    ])
  }

  @Test func optionsAreChecked() throws {
    try refuse("a precision", options: ["--precision", "float16"], says: "--precision", "float16", "fp8")
    try refuse("no modules", options: ["--mtp-weight", "0.3"], says: "model", "layer 4", "--mtp-weight")
    try refuse("a weight below zero", options: ["--mtp-weight=-1"], says: "--mtp-weight", "-1")
    let elsewhere = ["--output", "none/out.safetensors"]
    let command = ["probe", "--model", "model", "--input", "good.safetensors"] + elsewhere
    try Refusal("no directory", command, says: "none/out.safetensors", "directory does not exist").check(
      bench)
    let other = ["probe", "--model", "model", "--input", "good.safetensors", "--output", "out.safetensors"]
    try Refusal("an instruction set", other, says: "HADAL_ISA=nonsense", "portable")
      .check(bench, environment: ["HADAL_ISA": "nonsense"])
  }

  @Test func weightsAreChecked() throws {
    let weights = "model/model.safetensors"
    let whole = try bench.bytes(weights)
    let damages: [(name: String, change: (inout [UInt8]) -> Void)] = [
      ("its end cut off", { $0.removeLast(100) }), ("its header cut off", { $0.removeSubrange(100...) }),
      ("nothing", { $0 = [] }), ("a length of the header", { $0[3] ^= 0x10 }),
      ("a brace", { $0[8] ^= 1 }), ("more than it says", { $0 += [0] }),
    ]
    for damage in damages {
      try bench.damage(weights, damage.change)
      try refuse(damage.name, says: weights)
      try bench.write(weights, whole)
    }
    try bench.remove(weights)
    try refuse("no weights", says: "model", "*.safetensors")
  }

  /// Before memory is asked for: an allocation that fails ends the process.
  @Test func sizesAreCheckedFirst() throws {
    let file = "model/config.json"
    let whole = try bench.text(file)
    let huge: [(key: String, from: Int, to: Int, tensor: String)] = [
      ("vocab_size", 320, 16_000_000, "\"lm_head.weight\" has shape [320, 128]"),
      ("hidden_size", 128, 200_000, "[320, 128], the model needs [320, 200000]"),
      ("intermediate_size", 176, 200_000, "\"model.layers.0.mlp.gate_proj.weight\""),
      ("moe_intermediate_size", 32, 200_000, "\"model.layers.1.mlp.experts.0.gate_proj.weight\""),
      ("kv_lora_rank", 32, 200_000, "\"model.layers.0.self_attn.kv_b_proj.weight\""),
    ]
    for change in huge {
      let (old, new) = ("  \"\(change.key)\": \(change.from)", "  \"\(change.key)\": \(change.to)")
      try #require(whole.contains(old))
      try bench.write(file, whole.replacing(old, with: new))
      try refuse(change.key, says: "model: ", change.tensor, "\(change.to)")
    }
    // Without weights to compare with, the memory of the machine is what limits.
    let wide = whole.replacing("\"hidden_size\": 128", with: "\"hidden_size\": 200000")
      .replacing("\"moe_intermediate_size\": 32", with: "\"moe_intermediate_size\": 200000")
    try bench.write(file, wide)
    try bench.write("model/model.safetensors", Self.input([1] as [Int64], [1], name: "other"))
    try refuse("memory", says: "parameters", "for weights, before", "Use a smaller model")
    try refuse("memory for gradients", options: ["--gradients"], says: "for weights and gradients, before")
  }

  @Test func configurationsAreChecked() throws {
    let file = "model/config.json"
    let whole = try bench.text(file)
    try bench.write(file, whole.replacing("\"hidden_size\": 128", with: "\"hidden_size\": 80"))
    try refuse("another width", says: "[320, 128]", "[320, 80]")
    try bench.write(file, whole.replacing("\"vocab_size\": 320", with: "\"vocab_size\": \"many\""))
    try refuse("a wrong type", says: "\(file):", "vocab_size", "many")
    try bench.write(file, whole.replacing("\"deepseek_v3\"", with: "\"llama\""))
    try refuse("another kind of model", says: "\(file):", "model_type", "deepseek_v3")
    try bench.write(file, String(whole.prefix(200)))
    try refuse("its end cut off", says: "\(file):")
    try bench.remove(file)
    try refuse("no configuration", says: file)
  }
}
