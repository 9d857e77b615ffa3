import Autograd
import Communication
import Glibc
import Tensors
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

  /// Again, and with messages within a node too, which changes neither sums nor what is counted.
  @Test(arguments: cases, [ExchangeCase.Payload.float32, .bfloat16, .float8])
  func bitsAreRepeatable(exchange: ExchangeCase, payload: ExchangeCase.Payload) throws {
    var exchange = exchange
    exchange.payload = payload
    for levels in ExchangeCase.Levels.allCases {
      exchange.sharesMemory = true
      let (first, second) = (try exchange.outcomes(levels), try exchange.outcomes(levels))
      exchange.sharesMemory = false
      let sent = try exchange.outcomes(levels)
      for (a, b) in zip(first + first, second + sent) {
        #expect(a.y == b.y && a.dx == b.dx && a.dWeights == b.dWeights)
        for kind in [MessageKind.dispatch, .combine] {
          #expect(a.traffic.withinNode[kind]?.bytes ?? 0 == b.traffic.withinNode[kind]?.bytes ?? 0)
          #expect(a.traffic.betweenNodes[kind]?.bytes ?? 0 == b.traffic.betweenNodes[kind]?.bytes ?? 0)
        }
      }
    }
  }

  /// Rows that were made to be lent are copied by those alone who read them: nothing is made here for them.
  @Test func lentRowsAreNotCopied() throws {
    let (tokens, width) = (64, 4096)
    let made = try World.loopback(ranks: 2) { world in
      let device = try Device(threads: 1)
      let group = world.communicator
      device.lend(to: group)
      let exchange = RankExchange(.oneLevel(group), experts: 2, microBatch: 0, waiter: Waiter())
      // All go to the other rank.
      let indices = Tensor([tokens, 1], [Int32](repeating: Int32(1 - group.rank), count: tokens), on: device)
      let weights = Tensor([tokens, 1], [Float](repeating: 1, count: tokens), on: device)
      let x = device.lending { Tensor.zeros([tokens, width], on: device) }
      let route = exchange.route(indices, layer: 0)
      let before = device.pool.liveBytes
      route.startScatter(.numbers(x), weights: weights)
      let room = device.pool.liveBytes - before
      let arrived = route.finishScatter().rows.tensor
      let y = device.lending { arrived.copied() }
      let between = device.pool.liveBytes
      route.startGather(y, weights: nil)
      #expect(route.finishGather().rows.rows == tokens)
      return (room: room, back: device.pool.peakBytes - between)
    }
    // What arrives, or the sum of what comes back, and some numbers beside it.
    for (room, back) in made {
      #expect(max(room, back) <= tokens * width * 4 + 65536, "\(room), \(back) bytes")
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

  /// A rank goes on, and uses its memory again, while another one has not read what it was lent.
  @Test func aSlowReaderGetsWhatWasLent() throws {
    let (tokens, width) = (32, 512)
    let sums = try World.loopback(ranks: 2) { world in
      let device = try Device(threads: 1)
      let group = world.communicator
      device.lend(to: group)
      let exchange = RankExchange(.oneLevel(group), experts: 2, microBatch: 0, waiter: Waiter())
      let indices = Tensor([tokens, 1], [Int32](repeating: Int32(1 - group.rank), count: tokens), on: device)
      let weights = Tensor([tokens, 1], [Float](repeating: 1, count: tokens), on: device)
      let route = exchange.route(indices, layer: 0)
      func numbers(_ value: Float) -> Tensor {
        device.lending {
          Tensor([tokens, width], [Float](repeating: value, count: tokens * width), on: device)
        }
      }
      func pause() {
        guard group.rank == 0 else {
          _ = usleep(100_000)
          return
        }
        for _ in 0..<4 { _ = numbers(.nan) }
      }
      route.startScatter(.numbers(numbers(Float(group.rank + 1))), weights: weights)
      pause()
      let arrived = route.finishScatter().rows.tensor
      #expect(arrived.floats.allSatisfy { $0 == Float(2 - group.rank) })
      route.startGather(numbers(Float(10 * (group.rank + 1))), weights: nil)
      pause()
      let sum = Array(route.finishGather().rows.floats)
      // What was lent is kept by the loan alone now.
      for _ in 0..<4 { _ = numbers(.nan) }
      return sum
    }
    for (rank, sum) in sums.enumerated() { #expect(sum.allSatisfy { $0 == Float(10 * (2 - rank)) }) }
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

  /// Every token of every rank to the experts of one: in slices, no rank has more rows at once than the limit, and the
  /// memory for what arrives is that of so many rows.
  @Test(arguments: ExchangeCase.Levels.allCases, [128, 40, 9])
  func memoryForRowsIsBounded(levels: ExchangeCase.Levels, limit: Int) throws {
    let (tokens, width) = (70, 4096)
    let found = try World.loopback(ranks: 4, nodes: [0, 0, 1, 1]) { world in
      let device = try Device(threads: 1)
      let group = world.communicator
      device.lend(to: group)
      let path = levels == .one ? ExchangePath.oneLevel(group) : try .twoLevel(group)
      let exchange = RankExchange(path, experts: 4, limit: limit, microBatch: 0, waiter: Waiter())
      let indices = Tensor([tokens, 1], [Int32](repeating: 2, count: tokens), on: device)
      let weights = Tensor([tokens, 1], [Float](repeating: 1, count: tokens), on: device)
      let x = Tensor.zeros([tokens, width], on: device)
      let before = device.pool.liveBytes
      let slices = exchange.slices(indices, layer: 0)
      let rows = slices.map { slice in
        let route = exchange.route(indices.rows(slice), layer: 0)
        route.startScatter(.numbers(x.rows(slice)), weights: weights.rows(slice))
        let arrived = route.finishScatter().rows.tensor
        route.startGather(arrived, weights: nil)
        #expect(route.finishGather().rows.rows == slice.count)
        return arrived.rows
      }
      let longest = slices.map(\.count).max() ?? 0
      return (rank: group.rank, rows: rows, longest: longest, bytes: device.pool.peakBytes - before)
    }
    for (rank, rows, longest, bytes) in found {
      #expect(rows.allSatisfy { $0 <= limit }, "rank \(rank): \(rows)")
      #expect(rows.reduce(0, +) == (rank == 2 ? 4 * tokens : 0) && rows.count == found[0].rows.count)
      // What arrived; with two levels also at the forwarder, from each node; own rows on their way out, back, and summed.
      let most = limit + 2 * 2 * longest + 4 * longest
      #expect(bytes <= most * width * 4 * 9 / 8 + 65536, "rank \(rank): \(bytes) bytes, \(most) rows")
    }
    #expect(found[0].rows.count == (limit == 128 ? 4 : limit == 40 ? 8 : 64))
  }

  /// The number of slices is the least power of two that keeps the limit.
  @Test func slicesAreAsFewAsCanBe() {
    let arriving = (0..<TokenSlicing.most).map { $0 == 5 ? 9 : 1 }
    for (limit, count) in [(9, 64), (10, 32), (12, 16), (16, 8), (24, 4), (71, 2), (72, 1)] {
      #expect(TokenSlicing.leastSlices(arriving, limit: limit) == count, "\(limit)")
    }
    #expect(TokenSlicing.slices(4, of: 10) == [0..<2, 2..<5, 5..<7, 7..<10])
    #expect(TokenSlicing.leastLimit(tokens: 65, ranks: 4) == 8)
  }
}
