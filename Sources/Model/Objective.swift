/// How the parts of the loss are weighed and normalized: `L = L_main + λ/D Σ_k L_k + Σ_layers L_balance`.
///
/// Each part is a mean over its own number of valid tokens in the global batch, counted before the first micro-batch,
/// so that neither accumulation nor parallelism changes the gradient. (The paper divides L_k by the sequence length T
/// instead of by its T − k terms.) Source: DeepSeek-V3, arXiv:2412.19437, equations 17 and 24 to 25.
package struct Objective: Sendable {
  /// Valid labels in the global batch: of the main head, then of each depth.
  package var validLabels: [Int]
  /// λ.
  package var multiTokenWeight: Double

  package init(validLabels: [Int], multiTokenWeight: Double) {
    (self.validLabels, self.multiTokenWeight) = (validLabels, multiTokenWeight)
  }

  /// The factor of one token's loss at a depth; 0 when the depth has no valid token at all.
  func tokenScale(depth: Int) -> Float {
    guard validLabels[depth] > 0 else { return 0 }
    let depths = validLabels.count - 1
    let weight = depth == 0 ? 1 : multiTokenWeight / Double(depths)
    return Float(weight / Double(validLabels[depth]))
  }
}

/// What a micro-batch added up to. Sums over tokens, in nats.
package struct LossSums: Sendable {
  /// Of the main head, then of each depth.
  package var tokens: [Double]
  /// All balance losses, already means over the global batch.
  package var balance: Double

  package init(depths: Int) {
    tokens = Array(repeating: 0, count: depths + 1)
    balance = 0
  }

  package static func += (sum: inout LossSums, addend: LossSums) {
    for depth in sum.tokens.indices { sum.tokens[depth] += addend.tokens[depth] }
    sum.balance += addend.balance
  }
}
