extension ModelConfiguration {
  /// What must hold between keys; a fault is reported at the first key of its list that is written down.
  package static let rules: [Schema<ModelConfiguration>.Rule] = [
    .init("qk_rope_head_dim") {
      $0.qkRopeHeadDim.isMultiple(of: 2)
        ? nil : "qk_rope_head_dim (\($0.qkRopeHeadDim)) must be even: rotation turns pairs"
    },
    .init("first_k_dense_replace", "num_hidden_layers", "n_routed_experts") {
      $0.nRoutedExperts == 0 || $0.firstKDenseReplace <= $0.numHiddenLayers
        ? nil
        : "first_k_dense_replace (\($0.firstKDenseReplace)) exceeds num_hidden_layers "
          + "(\($0.numHiddenLayers)); for a dense model set n_routed_experts to 0"
    },
    .init("n_group", "n_routed_experts", "topk_method") {
      $0.hasWholeGroups
        ? nil : "n_routed_experts (\($0.nRoutedExperts)) must be a multiple of n_group (\($0.nGroup))"
    },
    .init("topk_group", "n_group", "topk_method") {
      !$0.usesGroups || $0.topkGroup <= $0.nGroup
        ? nil : "topk_group (\($0.topkGroup)) must not exceed n_group (\($0.nGroup))"
    },
    .init("n_group", "n_routed_experts", "topk_method") {
      guard $0.usesGroups, $0.topkMethod == .noauxTC, $0.nGroup > 1, $0.hasWholeGroups else { return nil }
      let experts = $0.nRoutedExperts / $0.nGroup
      return experts >= 2
        ? nil : "a group has \(experts) expert; noaux_tc scores a group by its best 2, so it needs at least 2"
    },
    .init("num_experts_per_tok", "n_routed_experts", "n_group", "topk_group", "topk_method") {
      guard $0.nRoutedExperts > 0, $0.hasWholeGroups else { return nil }
      let groups = $0.usesGroups ? min($0.topkGroup, $0.nGroup) : 1
      let eligible = groups * ($0.nRoutedExperts / $0.routingGroups)
      guard $0.numExpertsPerTok > eligible else { return nil }
      return
        "num_experts_per_tok (\($0.numExpertsPerTok)) exceeds the \(eligible) experts of the groups that "
        + "a token keeps (n_routed_experts \($0.nRoutedExperts), n_group \($0.nGroup), "
        + "topk_group \($0.topkGroup))"
    },
  ]

  private var usesGroups: Bool { nRoutedExperts > 0 && topkMethod != .greedy }

  private var hasWholeGroups: Bool { !usesGroups || nRoutedExperts.isMultiple(of: nGroup) }

  /// What is wrong with `eos_token_id` in a vocabulary of this size, or nil.
  package static func endOfTextFault(_ id: Int?, _ vocabSize: Int?) -> String? {
    guard let id, let vocabSize, id >= vocabSize else { return nil }
    return "eos_token_id (\(id)) is not below vocab_size (\(vocabSize))"
  }
}
