package import Model
internal import Tensors

extension DeepSeek {
  /// Auxiliary-loss-free balancing: `b_i += γ · sign(mean(c) − c_i)`, once per optimizer step over the whole global
  /// batch, with sign(0) = 0. Source: Wang et al., arXiv:2408.15664, algorithm 1; DeepSeek-V3, §2.1.2.
  ///
  /// - Parameter loads: c, the tokens that each expert received, by layer.
  package func updateBiases(loads: [Int: [Int]], speed: Float) {
    guard configuration.hasRouterBias, speed != 0 else { return }
    for experts in expertLayers {
      guard let counts = loads[experts.layer] else { continue }
      // Compared as E·c_i with Σc: exact, where a mean in floating point need not be.
      let total = counts.reduce(0, +)
      for (i, count) in counts.enumerated() {
        experts.bias.floats[i] += speed * Float((total - counts.count * count).signum())
      }
    }
  }
}
