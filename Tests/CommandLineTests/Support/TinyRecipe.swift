/// The smallest model that has every part: a dense layer, an MoE layer, a module of multi-token prediction.
enum TinyRecipe {
  static let configuration = """
    model:
      vocab_size: auto
      hidden_size: 32
      intermediate_size: 64
      num_hidden_layers: 2
      num_nextn_predict_layers: 1
      num_attention_heads: 2
      q_lora_rank: null
      kv_lora_rank: 16
      qk_nope_head_dim: 8
      qk_rope_head_dim: 8
      v_head_dim: 16
      n_routed_experts: 8
      n_shared_experts: 1
      num_experts_per_tok: 2
      moe_intermediate_size: 16
      first_k_dense_replace: 1
      n_group: 1
      topk_group: 1
      max_position_embeddings: 64
    data:
      directory: corpus
    training:
      steps: 8
      sequence_length: 32
      micro_batch_size: 2
      global_batch_size: 4
    learning_rate:
      phases:
        - {shape: linear, to: 3.0e-3, until_step: 4}
        - {shape: cosine, to: 1.0e-3, until_step: 40}
    precision:
      mode: float32
    evaluation:
      every: 4
      max_tokens: 256
    checkpoint:
      every: 4
    logging:
      every: 1
    run:
      name: tiny

    """

  private static let words = [
    "the", "sea", "is", "deep", "and", "light", "goes", "down", "where", "no", "one", "looks", "for", "it",
    "while", "small", "fish", "carry", "their", "own", "lamps",
  ]

  /// 400 documents of a few words, always the same ones.
  static let text = (0..<400).map { document in
    let count = 8 + scramble(document, 0) % 20
    let sentence = (1...count).map { words[scramble(document, $0) % words.count] }
    return sentence.joined(separator: " ") + " \(document).\n"
  }.joined(separator: "%\n")

  /// Some number that depends on both.
  private static func scramble(_ first: Int, _ second: Int) -> Int {
    var bits = UInt64(first) &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(second) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ (bits >> 29)) &* 0x94d0_49bb_1331_11eb
    return Int(truncatingIfNeeded: (bits ^ (bits >> 32)) & 0xffff)
  }
}
