import Testing

@testable import Parallel

/// What both strands write to, in the order in which they do.
private final class Log {
  var lines: [String] = []
}

struct StrandsTests {
  /// One strand at a time, the other from each hand-over on; who ends first leaves the rest to the other.
  @Test(arguments: [
    (2, 2, ["a0", "b0", "a1", "b1", "a2", "b2"]), (0, 2, ["a0", "b0", "b1", "b2"]),
    (3, 1, ["a0", "b0", "a1", "b1", "a2", "a3"]), (1, 0, ["a0", "b0", "a1"]), (0, 0, ["a0", "b0"]),
  ])
  func takeTurns(first: Int, second: Int, expected: [String]) {
    let (log, strands) = (Log(), Strands())
    func body(_ name: String, _ handOvers: Int) {
      log.lines.append("\(name)0")
      for i in 0..<handOvers {
        strands.handOver()
        log.lines.append("\(name)\(i + 1)")
      }
    }
    for _ in 0..<100 {
      log.lines = []
      strands.run({ body("a", first) }, beside: { body("b", second) })
      #expect(log.lines == expected)
    }
    // Alone, a hand-over is nothing.
    strands.handOver()
  }
}
