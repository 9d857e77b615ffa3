import Foundation
import Model
import Tensors
import Testing

@testable import Training

/// Tests that run a trainer: one after the other, because a run catches the signals of the whole process.
@Suite(.serialized) struct WholeRuns {}

/// Runs of a small model on random tokens, two rows of 16 a step, in one directory that is removed with the value.
struct SmallRuns {
  private let directory: ReportingDirectory

  init() throws { directory = try ReportingDirectory() }

  /// Constant rates, so that nothing but the optimizer depends on how many steps were done.
  private static let yaml = """
    model: {vocab_size: 1024, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 64, \
    moe_intermediate_size: 16, q_lora_rank: 24, kv_lora_rank: 16, qk_nope_head_dim: 8, qk_rope_head_dim: 8, \
    v_head_dim: 16, n_routed_experts: 8, n_shared_experts: 1, num_experts_per_tok: 2, first_k_dense_replace: 1, \
    n_group: 1, topk_group: 1, max_position_embeddings: 32, num_nextn_predict_layers: 1, initializer_range: 0.1}
    data: {synthetic: true}
    training: {steps: 12, sequence_length: 16, micro_batch_size: 1, global_batch_size: 2, bias_update_speed: 0.01}
    learning_rate: {phases: [{shape: constant, to: 1.0e-3}]}
    precision: {mode: float32}
    evaluation: {every: null}
    checkpoint: {every: 4, keep: null}

    """

  func trainer(
    _ name: String, _ settings: [String] = [], resume: ResumeChoice = .auto
  ) throws -> Trainer {
    try Trainer(configuration(name, settings), resume: resume)
  }

  func configuration(_ name: String, _ settings: [String] = []) throws -> RunConfiguration {
    try RunConfiguration.parse(
      yaml: Self.yaml, source: "small.yaml",
      overrides: ["run.name=\(name)", "run.directory=\(directory.path)"] + settings)
  }

  /// A token that is read in a step's samples and in no others of the first `steps` steps.
  func token(ofStep step: Int, among steps: Int = 24) throws -> Int32 {
    let source = try trainer("nothing").source
    let rows = (0..<2 * steps).map { sample in
      let row = source.microBatch(first: sample, count: 1)
      return (inputs: row.inputs, all: Set(row.inputs).union(row.labels))
    }
    let own = 2 * step - 2..<2 * step
    let others = rows.indices.filter { !own.contains($0) }.map { rows[$0].all }
    return try #require(
      rows[own.lowerBound].inputs.first { token in others.allSatisfy { !$0.contains(token) } })
  }

  /// Makes every step that reads one of the tokens non-finite.
  func poison(_ trainer: Trainer, _ tokens: some Sequence<Int32>) throws {
    try trainer.model.loadWeights { weights in
      let embedding = try #require(weights.first { $0.name == "model.embed_tokens.weight" }).tensor
      for token in tokens {
        for i in 0..<embedding.columns { embedding.floats[Int(token) * embedding.columns + i] = .nan }
      }
    }
  }

  @discardableResult
  func run(_ trainer: Trainer) throws -> RunState {
    try trainer.run(try RunRecorder(trainer), stop: StopSignal()).state
  }

  func checkpoint(_ name: String, step: Int) -> String {
    directory.file("\(name)/checkpoints/step-\(step)")
  }

  /// All tensors of a checkpoint.
  func tensors(_ name: String, step: Int) throws -> Data {
    try Data(
      contentsOf: URL(fileURLWithPath: checkpoint(name, step: step) + "/rank-00000-of-00001.safetensors"))
  }

  func exists(_ name: String, step: Int) -> Bool {
    FileManager.default.fileExists(atPath: checkpoint(name, step: step))
  }

  /// The lines of metrics, without what depends on the clock or the machine.
  func lines(_ name: String) throws -> [String] {
    let passing = try ["tokens_per_second", "step_seconds", "peak_memory_bytes"].map {
      try Regex("\"\($0)\":[^,}]*,?")
    }
    return try directory.text(of: "\(name)/metrics.jsonl").split(separator: "\n").map { line in
      passing.reduce(String(line)) { $0.replacing($1, with: "") }
    }
  }

  func records(_ name: String, kind: String) throws -> [[String: Any]] {
    try lines(name).compactMap { line in
      let record = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      return record?["kind"] as? String == kind ? record : nil
    }
  }

  /// Same tensors, same records, same place.
  func expectSame(
    _ name: String, _ other: String, step: Int, location: SourceLocation = #_sourceLocation
  ) throws {
    let same = try tensors(name, step: step) == tensors(other, step: step)
    #expect(same, "the tensors of step \(step) differ", sourceLocation: location)
    #expect(try lines(name) == lines(other), sourceLocation: location)
    let states = try [name, other].map { try trainer($0).state }
    #expect(states[0] == states[1], sourceLocation: location)
  }
}
