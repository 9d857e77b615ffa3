import Communication
import Testing

@testable import Parallel

/// Expert exchange in one level and in two, against sums computed without messages.
struct ExchangeTests {
  private static let cases = [
    ExchangeCase(nodes: [0, 0, 1, 1], tokens: [7, 0, 12, 5]),
    ExchangeCase(nodes: [0, 0, 0, 0, 1, 1, 1, 1], tokens: [3, 9, 0, 6, 1, 8, 4, 2]),
    ExchangeCase(nodes: [0, 0, 1, 1, 2, 2, 3, 3], tokens: [5, 5, 5, 5, 5, 5, 5, 5]),
    // One rank on each node.
    ExchangeCase(nodes: [0, 1], tokens: [6, 9]),
    ExchangeCase(nodes: [0, 0, 1, 1], tokens: [9, 4, 6, 5], routing: .oneExpert),
    ExchangeCase(nodes: [0, 0, 1, 1], tokens: [0, 0, 0, 0]),
  ]

  @Test(arguments: cases, [ExchangeCase.Payload.float32, .bfloat16, .float8])
  func sumsAreThoseOfAllExperts(exchange: ExchangeCase, payload: ExchangeCase.Payload) throws {
    var exchange = exchange
    exchange.payload = payload
    for levels in ExchangeCase.Levels.allCases {
      for (rank, outcome) in try exchange.outcomes(levels).enumerated() {
        let expected = exchange.expected(rank)
        // Numbers up to 14, rounded in six operations; whole numbers are exact.
        let tolerance = payload == .float32 ? 14 * 6 * 0x1p-24 : 0
        for found in [outcome.y, outcome.dx] {
          #expect(found.count == expected.count)
          let wrong = zip(found, expected).enumerated().first {
            !(abs(Double($1.0) - $1.1) <= tolerance)
          }
          #expect(wrong == nil, "\(levels), rank \(rank): \(wrong.map { "\($0)" } ?? "")")
        }
        let factors = exchange.indices(rank).flatMap { $0.map { Float(exchange.factor($0)) } }
        #expect(outcome.dWeights == factors, "\(levels), rank \(rank)")
      }
    }
  }

  @Test(arguments: cases)
  func bitsAreRepeatable(exchange: ExchangeCase) throws {
    for levels in ExchangeCase.Levels.allCases {
      let (first, second) = (try exchange.outcomes(levels), try exchange.outcomes(levels))
      for (a, b) in zip(first, second) { #expect(a.y == b.y && a.dx == b.dx && a.dWeights == b.dWeights) }
    }
  }

  /// A row crosses once to each rank, or in two levels once to each node; every byte is counted.
  @Test(arguments: cases, [ExchangeCase.Payload.float32, .bfloat16, .float8])
  func bytesAreThoseOfTheRows(exchange: ExchangeCase, payload: ExchangeCase.Payload) throws {
    var exchange = exchange
    exchange.payload = payload
    let numbers = exchange.width * (payload == .float32 ? 4 : 2)
    let row = payload == .float8 ? exchange.width + 4 * 2 : numbers
    let (weights, experts) = (4 * exchange.selected, 4 * exchange.selected)
    for levels in ExchangeCase.Levels.allCases {
      for (rank, outcome) in try exchange.outcomes(levels).enumerated() {
        let (sent, back) = (exchange.rowsSent(rank, levels), exchange.rowsReturned(rank, levels))
        let (near, far) = (outcome.traffic.withinNode, outcome.traffic.betweenNodes)
        // Forward with weights, backward without; and the reverse.
        let (dispatched, combined) = (2 * row + weights + experts, 2 * numbers + weights)
        #expect(near[.dispatch]?.bytes ?? 0 == sent.near * dispatched, "\(levels), rank \(rank)")
        #expect(far[.dispatch]?.bytes ?? 0 == sent.far * dispatched, "\(levels), rank \(rank)")
        #expect(near[.combine]?.bytes ?? 0 == back.near * combined, "\(levels), rank \(rank)")
        #expect(far[.combine]?.bytes ?? 0 == back.far * combined, "\(levels), rank \(rank)")
      }
    }
  }

  /// Nodes have as many ranks, one after the other.
  @Test func nodesThatFit() {
    for nodes in [[0, 0, 1, 1], [0, 1], [3, 3, 1, 1, 2, 2]] {
      #expect(ExchangePath.fault(nodes: nodes) == nil)
    }
    for nodes in [[0], [0, 0], [0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1, 1, 2]] {
      #expect(ExchangePath.fault(nodes: nodes) != nil, "\(nodes)")
    }
  }
}
