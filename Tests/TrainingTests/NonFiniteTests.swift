import Autograd
import Model
import Tensors
import Testing

@testable import Training

extension WholeRuns {
  /// A run that meets a NaN or infinity stops, changes nothing, and says where it began.
  struct NonFiniteTests {
    private let directory: ReportingDirectory
    init() throws { directory = try ReportingDirectory() }

    /// A run of 3 steps on random tokens.
    private func trainer() throws -> Trainer {
      let c = ModelConfiguration.small
      let yaml = """
        model: {vocab_size: \(c.vocabSize), hidden_size: \(c.hiddenSize), num_hidden_layers: 2, \
        num_attention_heads: 2, intermediate_size: 64, moe_intermediate_size: 16, q_lora_rank: 24, \
        kv_lora_rank: 16, qk_nope_head_dim: 8, qk_rope_head_dim: 8, v_head_dim: 16, n_routed_experts: 8, \
        n_shared_experts: 1, num_experts_per_tok: 2, first_k_dense_replace: 1, n_group: 1, topk_group: 1, \
        max_position_embeddings: 32, num_nextn_predict_layers: 1, initializer_range: 0.1}
        data: {synthetic: true}
        training: {steps: 3, sequence_length: 16, micro_batch_size: 1, global_batch_size: 2}
        learning_rate: {phases: [{shape: linear, to: 1.0e-3, until_step: 3}]}
        precision: {mode: float32}
        evaluation: {every: null}
        checkpoint: {every: null, on_exit: false}
        run: {name: bad, directory: \(directory.path)}
        """
      let configuration = try RunConfiguration.parse(yaml: yaml, source: "bad.yaml")
      return try Trainer(configuration, resume: .never)
    }

    /// The parameter that holds a tensor, and the tensor.
    private func master(_ model: DeepSeek, _ name: String) throws -> Tensor {
      try #require(model.namedTensors.first { $0.name == name }).tensor
    }

    /// Runs to the failure; what it names.
    private func blame(_ trainer: Trainer) throws -> (step: Int, what: String, tensor: String) {
      let recorder = try RunRecorder(trainer)
      let before = trainer.model.namedTensors.map { bits($0.tensor) }
      let error = #expect(throws: TrainingError.self) { _ = try trainer.run(recorder, stop: StopSignal()) }
      #expect(trainer.state == RunState(), "nothing was trained")
      #expect(trainer.model.namedTensors.map { bits($0.tensor) } == before, "nothing was updated")
      guard case .nonFinite(let cause, tolerated: 0)? = error else {
        Issue.record("another error: \(String(describing: error))")
        return (0, "", "")
      }
      return (cause.step, cause.what, cause.tensor)
    }

    private func bits(_ tensor: Tensor) -> [UInt32] { tensor.floats.map(\.bitPattern) }

    /// All weights of `name` become `value`.
    private func fill(_ model: DeepSeek, _ name: String, _ value: Float) throws {
      try master(model, name).floats.update(repeating: value)
      for parameter in model.parameters { parameter.masterDidChange() }
    }

    @Test func aFiniteRunHasNothingToBlame() throws {
      let trainer = try trainer()
      let summary = try trainer.run(try RunRecorder(trainer), stop: StopSignal())
      #expect(summary.state.step == 3)
      let batch = trainer.source.microBatch(first: 0, count: 2)
      #expect(trainer.runner.firstNonFiniteActivation([batch]) == nil)
    }

    @Test(arguments: [
      "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.experts.3.up_proj.weight",
      "model.layers.1.mlp.experts.3.down_proj.weight", "model.norm.weight", "model.layers.2.eh_proj.weight",
      "lm_head.weight",
    ])
    func aBadWeightIsNamed(name: String) throws {
      let trainer = try trainer()
      try fill(trainer.model, name, .nan)
      let found = try blame(trainer)
      #expect(found.step == 1)
      #expect(found.tensor == "weight \(name)")
      #expect(found.what.contains("NaN"))
    }

    /// One element, inside a parameter that holds all experts.
    @Test func oneBadElementIsEnough() throws {
      let trainer = try trainer()
      let name = "model.layers.1.mlp.experts.5.gate_proj.weight"
      let weight = try master(trainer.model, name)
      weight.floats[weight.count - 1] = .infinity
      for parameter in trainer.model.parameters { parameter.masterDidChange() }
      // Only an expert with tokens spoils the loss: every token goes to expert 5.
      try master(trainer.model, "model.layers.1.mlp.gate.e_score_correction_bias").floats[5] = 100
      #expect(try blame(trainer).tensor == "weight \(name)")
    }

    /// Finite weights so large that a product is not: the first result that suffers is named. Layer 1 is the main
    /// model's; layer 2 is the module's, and the main model is well.
    @Test(arguments: [1, 2])
    func aBadActivationIsNamed(layer: Int) throws {
      let trainer = try trainer()
      try fill(trainer.model, "model.layers.\(layer).self_attn.o_proj.weight", 3e38)
      let first = trainer.source.microBatch(first: 0, count: 1)
      #expect(trainer.runner.firstNonFiniteActivation([first]) == "activation attn_out.\(layer)")
      #expect(try blame(trainer).tensor == "activation attn_out.\(layer)")
    }

    /// Every micro-batch is looked at, not only the first.
    @Test func aLaterMicroBatchIsLookedAt() throws {
      let model = try ModelConfiguration.small.model()
      let embedding = try master(model, "model.embed_tokens.weight")
      for i in 63 * 32..<64 * 32 { embedding.floats[i] = .nan }
      let (well, ill) = (MicroBatch(rows: [[1, 2, 3, 4]]), MicroBatch(rows: [[1, 2, 63, 4]]))
      let runner = StepRunner(model)
      #expect(runner.firstNonFiniteActivation([well, well]) == nil)
      #expect(runner.firstNonFiniteActivation([well, ill]) == "activation embed")
    }
  }
}
