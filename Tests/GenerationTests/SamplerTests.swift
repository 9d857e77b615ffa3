import Foundation
import Generation
import Testing

struct SamplerTests {
  /// log of 0.4, 0.3, 0.2, 0.05, 0.05 and a shift that no choice may depend on.
  private let probabilities = [0.05, 0.4, 0.2, 0.05, 0.3]
  private var logits: [Float] { probabilities.map { Float(log($0) + 3) } }

  private func counts(_ sampler: Sampler, _ logits: [Float], draws: Int) throws -> [Int] {
    var counts = [Int](repeating: 0, count: logits.count)
    for position in 0..<draws { counts[Int(try sampler.token(after: position, logits: logits))] += 1 }
    return counts
  }

  /// χ² against the exact probabilities; limits are the 99.9 % quantiles for 4 and 2 degrees of freedom.
  private func expectDistribution(_ counts: [Int], _ expected: [Double], limit: Double) {
    let draws = Double(counts.reduce(0, +))
    var statistic = 0.0
    for (count, p) in zip(counts, expected) {
      if p == 0 {
        #expect(count == 0)
      } else {
        statistic += (Double(count) - draws * p) * (Double(count) - draws * p) / (draws * p)
      }
    }
    #expect(statistic < limit, "χ² \(statistic) of \(counts)")
  }

  @Test(arguments: [0, 1, 99] as [UInt64])
  func choosesWithTheProbabilitiesOfTheModel(seed: UInt64) throws {
    let sampler = try Sampler(temperature: 1, seed: seed)
    expectDistribution(try counts(sampler, logits, draws: 20_000), probabilities, limit: 18.47)
  }

  @Test func temperatureRaisesProbabilitiesToItsInverse() throws {
    let sampler = try Sampler(temperature: 0.5)
    let squares = probabilities.map { $0 * $0 }
    let expected = squares.map { $0 / squares.reduce(0, +) }
    expectDistribution(try counts(sampler, logits, draws: 20_000), expected, limit: 18.47)
  }

  @Test func nucleusIsChosenFromInProportion() throws {
    let sampler = try Sampler(temperature: 1, topP: 0.75)
    expectDistribution(
      try counts(sampler, logits, draws: 20_000), [0, 0.4 / 0.9, 0.2 / 0.9, 0, 0.3 / 0.9], limit: 13.82)
  }

  /// Shares 1/4, 1/16, 1/2, 1/8, 1/16.
  @Test(arguments: [
    (0.001, [2]), (0.499, [2]), (0.501, [2, 0]), (0.749, [2, 0]), (0.751, [2, 0, 3]), (0.874, [2, 0, 3]),
    (0.937, [2, 0, 3, 1]), (0.938, [2, 0, 3, 1, 4]), (0.999, [2, 0, 3, 1, 4]),
  ])
  func nucleusIsTheSmallestThatReachesTheShare(topP: Double, expected: [Int32]) throws {
    let sampler = try Sampler(temperature: 1 / log(2), topP: topP)
    #expect(sampler.nucleus([-2, -4, -1, -3, -4]).map(\.id) == expected)
  }

  /// Equal weights are exactly 1, so the share of each is exact too.
  @Test(arguments: [(0.25, 1), (0.250001, 2), (0.5, 2), (0.500001, 3), (0.75, 3), (0.750001, 4), (1, 4)])
  func nucleusEndsExactlyAtTheShare(topP: Double, count: Int32) throws {
    let sampler = try Sampler(temperature: 1, topP: topP)
    #expect(sampler.nucleus([1.5, 1.5, 1.5, 1.5]).map(\.id) == Array(0..<count))
  }

  @Test func greedyTakesTheGreatestAndOfEqualsTheFirst() throws {
    let sampler = try Sampler()
    #expect(try sampler.token(after: 0, logits: [1, 5, -2, 5, 4.999]) == 1)
    #expect(try sampler.token(after: 9, logits: [-.greatestFiniteMagnitude, -1]) == 1)
  }

  @Test func dependsOnSeedAndPositionAlone() throws {
    let sampler = try Sampler(temperature: 1, seed: 4)
    func choices(_ sampler: Sampler, _ positions: [Int]) throws -> [Int32] {
      try positions.map { try sampler.token(after: $0, logits: logits) }
    }
    let positions = Array(0..<200)
    let first = try choices(sampler, positions)
    #expect(try choices(sampler, positions.reversed()) == first.reversed())
    #expect(try choices(Sampler(temperature: 1, seed: 5), positions) != first)
    #expect(Set(first).count == 5)
  }

  @Test func extremeTemperaturesAreExact() throws {
    let cold = try Sampler(temperature: .leastNonzeroMagnitude, seed: 1)
    #expect(try counts(cold, logits, draws: 100)[1] == 100)
    let hot = try Sampler(temperature: .greatestFiniteMagnitude, seed: 1)
    expectDistribution(
      try counts(hot, logits, draws: 20_000), Array(repeating: 0.2, count: 5), limit: 18.47)
  }

  @Test(arguments: [-0.1, .nan, .infinity])
  func temperatureOutOfRangeIsRefused(temperature: Double) {
    #expect(throws: GenerationError.self) { try Sampler(temperature: temperature) }
  }

  @Test(arguments: [0, -1, 1.0000001, .nan])
  func topPOutOfRangeIsRefused(topP: Double) {
    #expect(throws: GenerationError.self) { try Sampler(temperature: 1, topP: topP) }
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func logitsThatAreNotFiniteAreRefused(value: Float) throws {
    for temperature in [0, 1.0] {
      let sampler = try Sampler(temperature: temperature)
      #expect(throws: GenerationError.notFinite(position: 12)) {
        try sampler.token(after: 12, logits: [0, value, 1])
      }
    }
  }
}
