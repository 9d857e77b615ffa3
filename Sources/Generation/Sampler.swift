internal import Foundation
internal import Numerics

/// Chooses the next token: a pure function of the logits, the seed and the position.
///
/// `p_i = exp(logit_i / T) / Σ_j exp(logit_j / T)`, cut to the nucleus: the fewest tokens, most probable ones first,
/// whose probabilities reach `topP` together. Source: Holtzman et al., arXiv:1904.09751, §3.1.
package struct Sampler: Sendable, Hashable {
  /// T; 0 takes the most probable token.
  package let temperature: Double
  package let topP: Double
  package let seed: UInt64

  /// - Throws: `GenerationError` when a setting is out of its range.
  package init(temperature: Double = 0, topP: Double = 1, seed: UInt64 = 0) throws(GenerationError) {
    guard temperature >= 0, temperature.isFinite else { throw .temperature(temperature) }
    guard topP > 0, topP <= 1 else { throw .topP(topP) }
    (self.temperature, self.topP, self.seed) = (temperature, topP, seed)
  }

  /// The token after the one at `position`. Among equals the smaller id goes first.
  ///
  /// - Throws: `GenerationError.notFinite` when a logit is not finite.
  package func token(
    after position: Int, logits: some RandomAccessCollection<Float>
  ) throws(GenerationError) -> Int32 {
    guard !logits.isEmpty, logits.allSatisfy(\.isFinite) else { throw .notFinite(position: position) }
    let logits = Array(logits)
    if temperature == 0 {
      return Int32(logits.indices.max { logits[$0] < logits[$1] || logits[$0] == logits[$1] && $0 > $1 }!)
    }
    let candidates = nucleus(logits)
    let random = Philox(seed: seed, name: "next token").uniform(UInt64(position))
    // The sum is made in the order of the search below, so rounding cannot carry the search past the end.
    let mass = candidates.reduce(0) { $0 + $1.weight }
    var sum = 0.0
    for candidate in candidates {
      sum += candidate.weight
      if random * mass < sum { return candidate.id }
    }
    return candidates.last!.id
  }

  /// The tokens that may be chosen, with weights in proportion to their probabilities.
  package func nucleus(_ logits: [Float]) -> [(id: Int32, weight: Double)] {
    precondition(temperature > 0, "the nucleus of temperature \(temperature)")
    let greatest = Double(logits.max()!)
    // The greatest weight is exp(0) = 1: nothing overflows, however small the temperature is.
    let weights = logits.map { exp((Double($0) - greatest) / temperature) }
    let all = weights.enumerated().map { (id: Int32($0.offset), weight: $0.element) }
    guard topP < 1 else { return all }
    let sorted = all.sorted { $0.weight > $1.weight || $0.weight == $1.weight && $0.id < $1.id }
    let needed = topP * weights.reduce(0, +)
    var sum = 0.0
    let end = sorted.firstIndex { candidate in
      sum += candidate.weight
      return sum >= needed
    }
    return Array(sorted[...(end ?? sorted.count - 1)])
  }
}
