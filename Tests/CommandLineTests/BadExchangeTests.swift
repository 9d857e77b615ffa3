import Foundation
import Testing

/// `hadal import` and `hadal export` of what cannot be used: one message, exit code 2, and nothing is made.
struct BadExchangeTests {
  private let bench: Workbench

  /// `model`: a directory with a module of multi-token prediction; `fp8`: the same in FP8.
  init() throws {
    bench = try Workbench()
    try bench.write("small.yaml", Self.configuration)
    try bench.succeed(["train", "small.yaml"])
    for (name, dtype) in [("model", "float32"), ("fp8", "fp8")] {
      try bench.succeed(["export", "--checkpoint", "runs/small", "--to", name, "--dtype", dtype])
    }
  }

  private static let configuration = """
    model: {vocab_size: 50, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 2,
      q_lora_rank: null, kv_lora_rank: 8, qk_nope_head_dim: 4, qk_rope_head_dim: 4, v_head_dim: 4,
      n_routed_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 8, first_k_dense_replace: 1,
      max_position_embeddings: 32}
    data: {synthetic: true}
    training: {steps: 1, sequence_length: 16, micro_batch_size: 1, global_batch_size: 1}
    """

  private func refuse(
    _ name: String, from directory: String = "changed", says words: String...,
    location: SourceLocation = #_sourceLocation
  ) throws {
    let command = ["import", "--from", directory, "--to", "made"]
    try Refusal(name, command, words: words).check(bench, location: location)
  }

  /// `changed`: a copy of a directory in which a text of a file is another one; in a header, of the same length.
  private func change(_ source: String, _ file: String, _ old: String, to new: String) throws {
    if try bench.names(".").contains("changed") { try bench.remove("changed") }
    try bench.copy(source, to: "changed")
    let text = String(decoding: try bench.bytes("changed/\(file)"), as: Unicode.ASCII.self)
    try #require(text.contains(old), "\(old)")
    try bench.damage("changed/\(file)") { bytes in
      let (old, new) = (Array(old.utf8), Array(new.utf8))
      guard let place = bytes.firstRange(of: old) else { return }
      bytes.replaceSubrange(place, with: new)
    }
  }

  @Test func configurationsAreChecked() throws {
    let cases: [(name: String, source: String, old: String, new: String, words: [String])] = [
      ("another family", "model", "\"deepseek_v3\"", "\"llama\"", ["model_type", "deepseek_v3"]),
      (
        "no family", "model", "\"model_type\"", "\"_name_or_path\"", ["model_type", "missing", "deepseek_v3"]
      ),
      (
        "another quantization", "fp8", "\"quant_method\": \"fp8\"", "\"quant_method\": \"awq\"",
        ["fp8", "awq"]
      ),
      (
        "another format", "fp8", "\"fmt\": \"e4m3\"", "\"fmt\": \"e5m2\"",
        ["quantization_config.fmt", "e4m3"]
      ),
      ("other blocks", "fp8", "[128, 128]", "[64, 128]", ["weight_block_size", "[128, 128]"]),
      (
        "no method", "fp8", "\"quant_method\"", "\"method\"", ["quantization_config.quant_method", "missing"]
      ),
      (
        "more modules", "model", "\"num_nextn_predict_layers\": 1", "\"num_nextn_predict_layers\": 3",
        ["layer 3", "num_nextn_predict_layers to 1"]
      ),
      (
        "fewer modules", "model", "\"num_nextn_predict_layers\": 1", "\"num_nextn_predict_layers\": 0",
        ["changed/model.safetensors", "model.layers.2.", "does not have", "correct config.json"]
      ),
      ("another width", "model", "\"hidden_size\": 16", "\"hidden_size\": 32", ["[50, 16]", "[50, 32]"]),
      ("more layers", "model", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", ["layer 3"]),
      (
        "more experts", "model", "\"n_routed_experts\": 4", "\"n_routed_experts\": 8", ["experts.4.gate_proj"]
      ),
      ("a long row only", "model", "embeddings\": 32", "embeddings\": 1", ["sequence_length"]),
    ]
    for (name, source, old, new, words) in cases {
      try change(source, "config.json", old, to: new)
      let command = ["import", "--from", "changed", "--to", "made"]
      try Refusal(name, command, words: ["changed"] + words).check(bench)
    }
    try bench.succeed(["import", "--from", "fp8", "--to", "made"])
  }

  @Test func weightsAreChecked() throws {
    let scales = "model.layers.0.mlp.up_proj.weight_scale_inv"
    let cases: [(name: String, source: String, old: String, new: String, words: [String])] = [
      (
        "scales missing", "fp8", scales, "model.layers.0.mlp.up_proj.weight_scale_xyz",
        [
          "\"model.layers.0.mlp.up_proj.weight\" is F8_E4M3 [24, 16]", "\"\(scales)\" are missing",
          "complete?",
        ]
      ),
      (
        "scales of another shape", "fp8", "\"shape\":[1,1]", "\"shape\":[1  ]",
        ["F32 [1, 1]", "it is F32 [1]"]
      ),
      (
        "scales of nothing", "fp8", "\"model.norm.weight\"", "\"x_scale_inv\"      ",
        ["\"x_scale_inv\" belongs to \"x\", which is missing"]
      ),
      (
        "a tensor too many", "model", "\"lm_head.weight\"", "\"ln_head.weight\"",
        ["no tensor \"lm_head.weight\""]
      ),
      ("another type", "model", "\"F32\",\"shape\":[50,16]", "\"I32\",\"shape\":[50,16]", ["is I32", "F32"]),
      ("an unknown type", "model", "\"F32\"", "\"F33\"", ["dtype \"F33\" is not known"]),
    ]
    for (name, source, old, new, words) in cases {
      try change(source, "model.safetensors", old, to: new)
      let command = ["import", "--from", "changed", "--to", "made"]
      try Refusal(name, command, words: ["changed"] + words).check(bench)
    }
  }

  /// In the final norm, which follows the embedding.
  @Test func weightsThatAreNoNumbersAreRefused() throws {
    try change("model", "model.safetensors", "{", to: "{")
    let header = try bench.bytes("changed/model.safetensors").withUnsafeBytes { $0.load(as: Int.self) }
    try bench.damage("changed/model.safetensors") { bytes in
      for (index, byte) in [0, 0, 0x80, 0xff].enumerated() {
        bytes[8 + header + 50 * 16 * 4 + 4 + index] = UInt8(byte)
      }
    }
    try refuse(
      "infinity", says: "changed/model.safetensors", "\"model.norm.weight\" is -inf at element 1",
      "made was not made, nothing of it is left")
  }

  /// A module's copy of the head that is not the head: the model has no place for it.
  @Test func copiesThatDifferAreRefused() throws {
    try change("model", "model.safetensors", "{", to: "{")
    try bench.damage("changed/model.safetensors") { $0[$0.count - 1] ^= 1 }
    try refuse(
      "another head", says: "changed/model.safetensors", "shared_head.head.weight", "not with these values")
  }

  @Test func targetsAreChecked() throws {
    for command in [["import", "--from", "model"], ["export", "--checkpoint", "runs/small"]] {
      for (target, word) in [
        ("model", "model: exists and is not empty"), ("small.yaml", "small.yaml: exists and is no directory"),
        ("none/made", "make it first"), (".", "name the directory"),
      ] { try Refusal(target, command + ["--to", target], says: word).check(bench) }
    }
    try Refusal("no source", ["import", "--from", "none", "--to", "made"], says: "none/config.json").check(
      bench)
    try Refusal("no checkpoint", ["export", "--checkpoint", "none", "--to", "made"], says: "none").check(
      bench)
    let format = ["export", "--checkpoint", "runs/small", "--to", "made", "--dtype", "int8"]
    try Refusal("another format", format, says: "--dtype", "float32", "bfloat16", "fp8").check(bench)
  }
}
