internal import Foundation

/// What the ranks of a pipeline have seen of FP8 in one step, each in its own layers, as one record.
extension Float8Metrics {
  /// What travels between ranks.
  private struct Seen: Codable {
    let operands: [Operand]
    let shadow: Shadow?
  }

  private static let (infinity, negativeInfinity, nan) = ("inf", "-inf", "nan")

  /// As it travels.
  var text: String {
    let encoder = JSONEncoder()
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: Self.infinity, negativeInfinity: Self.negativeInfinity, nan: Self.nan)
    guard let data = try? encoder.encode(Seen(operands: operands, shadow: shadow)) else {
      preconditionFailure("FP8 health that is no JSON: \(self)")
    }
    return String(decoding: data, as: UTF8.self)
  }

  /// One record of several: layers in their order, an operand that several ranks have with the sums of their counts and
  /// the extremes of all; of the products that were done again, the one that was furthest off.
  init(step: Int, texts: [String]) {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: Self.infinity, negativeInfinity: Self.negativeInfinity, nan: Self.nan)
    let seen = texts.map { text in
      guard let seen = try? decoder.decode(Seen.self, from: Data(text.utf8)) else {
        preconditionFailure("FP8 health of a rank: '\(text)'")
      }
      return seen
    }
    var operands: [Operand] = []
    var places: [String: Int] = [:]
    for operand in seen.flatMap(\.operands) {
      if let place = places[operand.name] {
        operands[place].add(operand)
      } else {
        places[operand.name] = operands.count
        operands.append(operand)
      }
    }
    let inOrder = operands.enumerated().sorted {
      ($0.element.layer, $0.offset) < ($1.element.layer, $1.offset)
    }
    self.init(step: step, operands: inOrder.map(\.element), shadow: Self.worst(seen.compactMap(\.shadow)))
  }

  /// An error that is no number is the worst, none at all the best; of equal ones the first.
  private static func worst(_ shadows: [Shadow]) -> Shadow? {
    func rank(_ shadow: Shadow) -> Double { shadow.error.map { $0.isNaN ? .infinity : $0 } ?? -1 }
    return shadows.reduce(nil) { (worst: Shadow?, next) in
      guard let worst, rank(worst) >= rank(next) else { return next }
      return worst
    }
  }
}

extension Float8Metrics.Operand {
  fileprivate var name: String { "\(matrix) \(role) \(tiles)" }

  fileprivate mutating func add(_ other: Self) {
    let total = elements + other.elements
    func share(_ own: Double, _ others: Double) -> Double {
      let count = (own * Double(elements)).rounded() + (others * Double(other.elements)).rounded()
      return total == 0 ? 0 : count / Double(total)
    }
    (saturated, flushed, nonFinite) = (
      share(saturated, other.saturated), share(flushed, other.flushed), share(nonFinite, other.nonFinite)
    )
    if let a = scales, let b = other.scales {
      scales = min(a.lowerBound, b.lowerBound)...max(a.upperBound, b.upperBound)
    } else {
      scales = scales ?? other.scales
    }
    (elements, amax) = (total, max(amax, other.amax))
  }
}
