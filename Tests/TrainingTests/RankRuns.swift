import Communication
import Testing

@testable import Training

/// Runs of a small model on several ranks, which are threads of this process.
enum RankRuns {
  static let yaml = """
    model: {vocab_size: 256, hidden_size: 32, num_hidden_layers: 3, num_attention_heads: 2, intermediate_size: 64, \
    moe_intermediate_size: 16, q_lora_rank: 24, kv_lora_rank: 16, qk_nope_head_dim: 8, qk_rope_head_dim: 8, \
    v_head_dim: 16, n_routed_experts: 8, n_shared_experts: 1, num_experts_per_tok: 3, first_k_dense_replace: 1, \
    n_group: 4, topk_group: 2, max_position_embeddings: 32, num_nextn_predict_layers: 1, initializer_range: 0.1}
    data: {synthetic: true}
    training: {steps: 6, sequence_length: 16, micro_batch_size: 1, global_batch_size: 8, bias_update_speed: 0.01, \
    threads: 1, sequence_balance_loss: 0.01}
    learning_rate: {phases: [{shape: constant, to: 1.0e-3}]}
    precision: {mode: float32}
    evaluation: {every: null}
    checkpoint: {every: null, on_exit: false}

    """

  static func configuration(_ overrides: [String]) throws -> RunConfiguration {
    try RunConfiguration.parse(
      yaml: yaml, source: "ranks.yaml",
      overrides: ["run.name=ranks", "run.directory=/nonexistent"] + overrides)
  }

  /// As many ranks on each, one after the other.
  static func nodes(_ nodes: Int, of ranks: Int) -> [Int] { (0..<ranks).map { $0 * nodes / ranks } }

  static func report(
    _ ranks: Int, nodes: Int = 1, _ overrides: [String], steps: Int = 3
  ) throws -> Verification.Report {
    let configuration = try Self.configuration(overrides)
    let reports = try World.loopback(ranks: ranks, nodes: Self.nodes(nodes, of: ranks)) { world in
      try Verification(configuration, world: world.communicator).run(steps: steps)
    }
    return try #require(reports[0])
  }
}
