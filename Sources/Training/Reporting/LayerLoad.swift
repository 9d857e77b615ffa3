internal import Foundation

/// How evenly the tokens of one step fell on the routed experts of one MoE layer.
///
/// `E` experts; `cᵢ` tokens routed to expert i over the whole global batch; `c̄ = Σ cᵢ / E`. Where no token
/// was routed at all, the ratios are NaN.
package struct LayerLoad: Hashable, Sendable {
  /// Index of the layer, as in the names of its tensors.
  package var layer: Int
  /// `MaxVio = (maxᵢ cᵢ − c̄) / c̄`: 0 when balanced, `E/K − 1` when K experts take all.
  ///
  /// Source: Wang et al., "Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts".
  package var maxViolation: Double
  /// `−Σ pᵢ ln pᵢ / ln E` with `pᵢ = cᵢ / Σ c`: 1 when balanced, 0 when one expert takes all.
  ///
  /// Source: Shannon's entropy as a share of its maximum `ln E`. A single expert is balanced: 1.
  package var entropy: Double
  /// Experts without a token.
  package var deadExperts: Int
  /// Smallest and largest routing bias; nil for a router without bias (DeepSeek-V2), NaN if one bias is.
  ///
  /// Source: DeepSeek-V3 report, §2.1.2.
  package var biasRange: BiasRange?

  package struct BiasRange: Hashable, Sendable {
    package var min: Float
    package var max: Float

    package init(min: Float, max: Float) { (self.min, self.max) = (min, max) }
  }

  /// - Parameters:
  ///   - counts: `[E]`, tokens routed to each expert.
  ///   - bias: `[E]`, or empty for a router without bias.
  package init(layer: Int, counts: [Int], bias: [Float]) {
    precondition(
      !counts.isEmpty && counts.allSatisfy { $0 >= 0 }, "layer \(layer): no load in counts \(counts)")
    precondition(
      bias.isEmpty || bias.count == counts.count,
      "layer \(layer): \(bias.count) biases for \(counts.count) experts")
    let total = Double(counts.reduce(0, +))
    let mean = total / Double(counts.count)
    self.layer = layer
    maxViolation = (Double(counts.max()!) - mean) / mean
    entropy = LayerLoad.entropy(counts, total: total)
    deadExperts = counts.count { $0 == 0 }
    biasRange = LayerLoad.range(bias)
  }

  private static func entropy(_ counts: [Int], total: Double) -> Double {
    guard total > 0 else { return .nan }
    guard counts.count > 1 else { return 1 }
    // Written as Σ p ln(1/p), so that one expert that takes all gives 0 and not −0.
    let nats = counts.reduce(0.0) { sum, count in
      count == 0 ? sum : sum + Double(count) / total * log(total / Double(count))
    }
    return nats / log(Double(counts.count))
  }

  private static func range(_ bias: [Float]) -> BiasRange? {
    guard let low = bias.min(), let high = bias.max() else { return nil }
    // Comparisons with NaN are false, so `min` and `max` could pass over it.
    return bias.contains(where: \.isNaN) ? BiasRange(min: .nan, max: .nan) : BiasRange(min: low, max: high)
  }

  /// Everything but the index of the layer.
  var fields: [MetricField] {
    var fields = [
      MetricField("max_violation", .number(maxViolation)), MetricField("entropy", .number(entropy)),
      MetricField("dead_experts", .integer(deadExperts)),
    ]
    if let biasRange {
      fields.append(MetricField("bias_min", .single(biasRange.min)))
      fields.append(MetricField("bias_max", .single(biasRange.max)))
    }
    return fields
  }
}
