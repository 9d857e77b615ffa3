internal import Foundation

/// How many rows of tokens reach a rank of those that share the experts of a layer.
package struct RoutedRows: Sendable, Hashable {
  /// Rows that arrive: a token's row comes once, whatever the number of its experts here.
  package var arriving: Double
  /// Rows of a product: one for each expert of each row.
  package var copies: Double

  package init(arriving: Double, copies: Double) { (self.arriving, self.copies) = (arriving, copies) }

  /// The mean, where experts are chosen evenly and every rank sends as many tokens.
  package init(tokens: Int, of model: ModelConfiguration, ranks: Int) {
    arriving = Double(tokens) * model.expectedVisits(parts: ranks)
    copies = Double(tokens * model.numExpertsPerTok)
  }

  /// The most that a limit on what arrives allows.
  package init(atMost limit: Int, of model: ModelConfiguration, ranks: Int) {
    arriving = Double(limit)
    copies = Double(limit * min(model.numExpertsPerTok, model.nRoutedExperts / ranks))
  }
}

extension ModelConfiguration {
  /// In how many of `parts` equal runs of consecutive experts a token has any of its experts, in the mean over choices
  /// that are all equally likely: of groups first, where routing is limited to some, then of experts within them.
  package func expectedVisits(parts: Int) -> Double {
    let isLimited = topkGroup < routingGroups
    let (groups, kept) = isLimited ? (routingGroups, topkGroup) : (1, 1)
    let eligible = nRoutedExperts / groups * kept
    let run = nRoutedExperts / parts
    // Chance that none of the token's experts is among `count` of the eligible ones.
    let misses = { (count: Int) in Self.chanceOfNone(chosen: numExpertsPerTok, among: eligible, of: count) }
    if parts.isMultiple(of: groups) || !groups.isMultiple(of: parts) {
      return Double(parts) * Double(kept) / Double(groups) * (1 - misses(run))
    }
    // A run has several whole groups: by how many of them are kept.
    let perPart = groups / parts
    let hits = (0...min(perPart, kept)).reduce(0.0) { sum, here in
      sum + Self.chance(of: here, chosen: kept, among: groups, special: perPart)
        * (1 - misses(here * nRoutedExperts / groups))
    }
    return Double(parts) * hits
  }

  /// `C(n − m, k) / C(n, k)`
  private static func chanceOfNone(chosen k: Int, among n: Int, of m: Int) -> Double {
    (0..<k).reduce(1.0) { $0 * Double(max(0, n - m - $1)) / Double(max(1, n - $1)) }
  }

  /// The hypergeometric chance that `here` of k chosen are among m special ones of n.
  private static func chance(of here: Int, chosen k: Int, among n: Int, special m: Int) -> Double {
    guard here <= m, k - here <= n - m else { return 0 }
    return exp(logChoices(m, here) + logChoices(n - m, k - here) - logChoices(n, k))
  }

  private static func logChoices(_ n: Int, _ k: Int) -> Double {
    lgamma(Double(n + 1)) - lgamma(Double(k + 1)) - lgamma(Double(n - k + 1))
  }
}
