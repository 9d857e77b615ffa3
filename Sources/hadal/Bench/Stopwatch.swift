/// How long something takes.
enum Stopwatch {
  /// Timed runs of which the median is taken, at least.
  static let leastRuns = 7

  static func seconds(_ body: () throws -> Void) rethrows -> Double {
    let begin = ContinuousClock.now
    try body()
    return (ContinuousClock.now - begin) / .seconds(1)
  }

  /// The median of ``leastRuns`` runs, or of as many more as fit into `budget` seconds.
  static func median(budget: Double, _ body: () -> Void) -> (seconds: Double, runs: Int) {
    var runs: [Double] = []
    var total = 0.0
    while runs.count < leastRuns || total < budget {
      let seconds = seconds(body)
      runs.append(seconds)
      total += seconds
    }
    return (median(runs), runs.count)
  }

  /// Things that are timed in turns, so that what disturbs one disturbs all: the seconds of each in each round. As many
  /// rounds as ``median(budget:_:)`` takes runs; every other one goes through them backward.
  static func rounds(budget: Double, _ bodies: [() -> Void]) -> [[Double]] {
    var rounds: [[Double]] = []
    var total = 0.0
    while rounds.count < leastRuns || total < budget {
      var round = bodies.map { _ in 0.0 }
      for i in rounds.count.isMultiple(of: 2) ? Array(bodies.indices) : bodies.indices.reversed() {
        round[i] = seconds(bodies[i])
      }
      rounds.append(round)
      total += round.reduce(0, +)
    }
    return rounds
  }

  /// The fastest of ``leastRuns`` runs, in seconds: of a ceiling, where every disturbance is to be left out.
  static func fastest(_ body: () -> Void) -> Double {
    (0..<leastRuns).map { _ in seconds(body) }.min() ?? 0
  }

  static func median(_ values: [Double]) -> Double {
    let (sorted, half) = (values.sorted(), values.count / 2)
    return values.count.isMultiple(of: 2) ? (sorted[half - 1] + sorted[half]) / 2 : sorted[half]
  }
}
