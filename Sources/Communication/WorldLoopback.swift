internal import Foundation
internal import Synchronization

extension World {
  /// How loopback ranks are made.
  package struct Loopback: Sendable {
    package var ranks: Int
    package var settings: Settings
    /// The node of every rank, by number; nil: all on one.
    package var nodes: [Int]?
    /// Puts something between a rank and the mailboxes.
    package var wrapping: @Sendable (any Transport) -> any Transport
    /// Whether the failure of one rank ends the waits of the others, as it does under MPI.
    package var endsTogether: Bool

    package init(
      ranks: Int, settings: Settings = Settings(timeout: 60), nodes: [Int]? = nil, endsTogether: Bool = true,
      wrapping: @escaping @Sendable (any Transport) -> any Transport = { $0 }
    ) {
      precondition(ranks > 0 && nodes?.count ?? ranks == ranks, "\(nodes ?? []) for \(ranks) ranks")
      (self.ranks, self.settings, self.nodes) = (ranks, settings, nodes)
      (self.endsTogether, self.wrapping) = (endsTogether, wrapping)
    }

    /// One process maps the memory of each rank as often as there are ranks.
    var settingsOfRank: Settings {
      var own = settings
      own.lendableBytes = settings.lendableBytes ?? 4 << 30
      return own
    }
  }

  /// Runs `body` once for each of `ranks` ranks, each in a thread of its own, and returns what they return, by rank.
  ///
  /// - Throws: the first failure of a rank.
  package static func loopback<Value: Sendable>(
    ranks: Int, nodes: [Int]? = nil, settings: Settings = Settings(timeout: 60),
    _ body: @escaping @Sendable (World) throws -> Value
  ) throws -> [Value] {
    let results = attempt(Loopback(ranks: ranks, settings: settings, nodes: nodes), body)
    // Those that failed because another did, say less.
    for result in results {
      if case .failure(let error) = result, !Self.followsAnother(error) { throw error }
    }
    return try results.map { try $0.get() }
  }

  /// As `loopback(ranks:nodes:settings:_:)`, with the end of every rank.
  package static func attempt<Value: Sendable>(
    _ loopback: Loopback, _ body: @escaping @Sendable (World) throws -> Value
  ) -> [Result<Value, any Error>] {
    let post = PostOffice()
    let ends = LoopbackTransport.ends(ranks: loopback.ranks, post: post)
    let results = Gathered<Value>(count: loopback.ranks)
    let settings = loopback.settingsOfRank
    for rank in 0..<loopback.ranks {
      let thread = Thread {
        let result = Result {
          let world = try World(
            transport: loopback.wrapping(ends(rank)), node: loopback.nodes?[rank] ?? 0,
            host: "thread-\(rank)",
            settings: settings)
          let value = try body(world)
          try world.close()
          return value
        }
        if loopback.endsTogether, case .failure(let error) = result {
          post.fail(rank: rank, reason: "\(error)")
        }
        results.set(rank, result)
      }
      thread.stackSize = 64 << 20
      thread.start()
    }
    return results.all()
  }

  private static func followsAnother(_ error: any Error) -> Bool {
    if case .peerFailed? = error as? CommunicationError { true } else { false }
  }
}

/// What the threads have brought.
private final class Gathered<Value: Sendable>: Sendable {
  private let results: Mutex<[Result<Value, any Error>?]>
  private let missing: DispatchSemaphore

  init(count: Int) {
    results = Mutex(Array(repeating: nil, count: count))
    missing = DispatchSemaphore(value: 0)
  }

  func set(_ rank: Int, _ result: Result<Value, any Error>) {
    results.withLock { $0[rank] = result }
    missing.signal()
  }

  func all() -> [Result<Value, any Error>] {
    let count = results.withLock(\.count)
    for _ in 0..<count { missing.wait() }
    return results.withLock { $0.compactMap { $0 } }
  }
}
