import Testing

@testable import Training

/// What a spike of the loss is, without a trainer.
struct LossLevelTests {
  private func level(_ losses: [Double], window: Int) -> LossLevel {
    losses.reduce(into: LossLevel()) { $0.add($1, window: window) }
  }

  /// As many losses as the window has weigh alike.
  @Test func beginsAsMeanAndVariance() {
    let losses = [5.0, 4.25, 4.5, 3.75, 4.0, 3.0]
    for count in 1...losses.count {
      let (own, level) = (losses.prefix(count), level(Array(losses.prefix(count)), window: 6))
      let mean = own.reduce(0, +) / Double(count)
      let variance = own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
      #expect(level.losses == count)
      #expect(abs(level.mean - mean) < 1e-14 && abs(level.variance - variance) < 1e-14, "\(level)")
    }
  }

  /// From then on a loss that is k older weighs (1 − 1/window)^k as much.
  @Test func thenOldLossesFade() {
    let (window, losses) = (4, [2.0, 3, 1, 4, 8, 5, 7])
    var weights = [Double](repeating: 1, count: window)
    for _ in window..<losses.count {
      weights = weights.map { $0 * 0.75 }
      // The new one has a quarter of all weight.
      weights.append(weights.reduce(0, +) / 3)
    }
    let sum = weights.reduce(0, +)
    let mean = zip(weights, losses).reduce(0) { $0 + $1.0 * $1.1 } / sum
    let variance = zip(weights, losses).reduce(0) { $0 + $1.0 * ($1.1 - mean) * ($1.1 - mean) } / sum
    let found = level(losses, window: window)
    #expect(abs(found.mean - mean) < 1e-14 && abs(found.variance - variance) < 1e-13, "\(found)")
  }

  @Test func aSpikeIsAboveAFullWindow() throws {
    let losses = [3.0, 5, 3, 5]  // 4 ± 1
    let full = level(losses, window: 4)
    #expect(full.spike(step: 9, loss: 6.99, window: 4, deviations: 3) == nil)
    #expect(full.spike(step: 9, loss: 1, window: 4, deviations: 3) == nil, "what falls is no spike")
    let spike = try #require(full.spike(step: 9, loss: 7.01, window: 4, deviations: 3))
    #expect(spike == LossSpike(step: 9, loss: 7.01, mean: 4, deviation: 1))
    #expect("\(spike)".contains("step 9") && "\(spike)".contains("7.01"), "\(spike)")
    #expect(level(losses, window: 5).spike(step: 9, loss: 100, window: 5, deviations: 3) == nil)
  }
}
