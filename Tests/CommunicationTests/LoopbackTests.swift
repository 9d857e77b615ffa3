import Communication
import CommunicationChecks
import Testing

/// Every check over the loopback, as it is and with delays.
@Suite struct LoopbackTests {
  static let settings = World.Settings(timeout: 20, largestChunk: Check.chunk)

  @Test(arguments: Check.all, [1, 2, 3, 4, 8])
  func holds(check: Check, ranks: Int) throws {
    let loopback = World.Loopback(
      ranks: ranks, settings: Self.settings, nodes: (0..<ranks).map { $0 / 3 })
    for result in World.attempt(loopback, { try check.run($0.communicator) }) { try result.get() }
  }

  /// What a check compares are bits: chunks that overtake each other change none of them.
  @Test(arguments: Check.all, [1 as UInt64, 2, 3])
  func holdsInAnyOrder(check: Check, seed: UInt64) throws {
    let loopback = World.Loopback(ranks: 4, settings: Self.settings) {
      FaultyTransport($0, Faults(seed: seed, longestDelay: 20))
    }
    for result in World.attempt(loopback, { try check.run($0.communicator) }) { try result.get() }
  }
}
