internal import Communication
internal import Parallel
internal import Tensors

/// An exchange of known rows: checked, then timed.
struct ExchangeRun {
  private let setting: ExchangeSetting
  private let path: ExchangePath
  private let ranks: Communicator
  private let exchange: RankExchange
  /// `[T, K]`, `[T, D]`, the same as it travels, `[T, K]`.
  private let indices, x: Tensor
  private let rows: Operand
  private let weights: Tensor

  init(_ setting: ExchangeSetting, _ path: ExchangePath, ranks: Communicator, on device: Device) {
    (self.setting, self.path, self.ranks) = (setting, path, ranks)
    exchange = RankExchange(path, experts: setting.experts, microBatch: 0, waiter: Waiter())
    indices = setting.indices(rank: ranks.rank, on: device)
    // As the norm before the experts of a layer makes them.
    device.lend(to: ranks)
    x = device.lending { setting.rows(rank: ranks.rank, on: device) }
    weights = setting.weights(rank: ranks.rank, on: device)
    rows =
      setting.payload == .fp8
      ? .codes(device.lending { [x] in quantizeRows(x, ScaleSettings(powerOfTwo: true)) }) : .numbers(x)
  }

  /// Every expert returns the row as it came, and its weight: `y_t = K x_t`, exactly.
  /// - Throws: `WrongResult`.
  func check() throws(WrongResult) {
    let route = exchange.way(indices, layer: 0)
    route.startScatter(rows, weights: weights)
    let (arrived, arrivedWeights) = route.finishScatter()
    guard let arrivedWeights else { preconditionFailure("no weights arrived") }
    let positions = route.plan.positions
    let (own, returned) = (
      Tensor(positions.shape, .int32, on: x.device), Tensor(positions.shape, on: x.device)
    )
    for i in 0..<positions.count {
      let isHere = positions.elements(Int32.self)[i] >= 0
      own.elements(Int32.self)[i] = isHere ? Int32(i / setting.selected) : -1
      returned.floats[i] = isHere ? arrivedWeights.floats[i] : 0
    }
    route.startGather(combineRows(arrived.numbers, positions: own), weights: returned)
    let (y, w) = route.finishGather()
    try compare("sums of rows", Numbers(y), Numbers(x), factor: Double(setting.selected), x.shape)
    guard let w else { preconditionFailure("no weights came back") }
    try compare("weights", Numbers(w), Numbers(weights), factor: 1, weights.shape)
  }

  private func compare(
    _ what: String, _ found: Numbers, _ expected: Numbers, factor: Double, _ shape: [Int]
  ) throws(WrongResult) {
    for i in 0..<shape[0] * shape[1] {
      try WrongResult.check(
        "exchange, \(what) of rank \(ranks.rank)", [i / shape[1], i % shape[1]], found[i],
        factor * expected[i], tolerance: 0)
    }
  }

  /// Seconds of each run on this rank.
  private struct Times {
    var own: [Double] = []
    var library: [Double] = []
  }

  /// - Throws: `CommunicationError`.
  func measure(_ runs: Int, _ levels: ExchangeLevels) throws -> [ExchangeResult] {
    let (dispatchBytes, combineBytes) = setting.rowBytes
    var (agreeing, dispatching, combining) = (Times(), Times(), Times())
    var library: LibraryExchange?
    var traffic = ranks.counters
    for _ in 0..<runs + Self.warmUp {
      traffic = ranks.counters
      var made: RankRoute?
      agreeing.own.append(try seconds { made = exchange.way(indices, layer: 0) })
      guard let route = made else { preconditionFailure("no route was made") }
      var arrived: Operand?
      dispatching.own.append(
        try seconds {
          route.startScatter(rows, weights: weights)
          arrived = route.finishScatter().rows
        })
      guard let numbers = arrived?.numbers else { preconditionFailure("nothing arrived") }
      // As experts make them.
      let y = x.device.lending { numbers.copied() }
      combining.own.append(
        try seconds {
          route.startGather(y, weights: nil)
          _ = route.finishGather()
        })
      let same =
        try library
        ?? LibraryExchange(
          path, counts: route.counts, rowBytes: max(dispatchBytes, combineBytes), on: x.device)
      library = same
      dispatching.library.append(try seconds { try same.dispatch(rowBytes: dispatchBytes) })
      combining.library.append(try seconds { try same.combine(rowBytes: combineBytes) })
    }
    let sent = ranks.counters.since(traffic)
    return [
      try result("route", agreeing, nil, sent, levels),
      try result("dispatch", dispatching, .dispatch, sent, levels),
      try result("combine", combining, .combine, sent, levels),
    ]
  }

  /// Runs before those that count.
  private static let warmUp = 2

  private func seconds(_ body: () throws -> Void) throws -> Double {
    try ranks.barrier()
    return try Stopwatch.seconds(body)
  }

  /// Of the slowest rank each time, and of all ranks' bytes.
  private func result(
    _ operation: String, _ times: Times, _ kind: MessageKind?, _ sent: TrafficCounters,
    _ levels: ExchangeLevels
  ) throws -> ExchangeResult {
    let own = try ranks.allReduce(Array(times.own.dropFirst(Self.warmUp)), .maximum)
    let library = try ranks.allReduce(Array(times.library.dropFirst(Self.warmUp)), .maximum)
    let (near, far) = (kind.flatMap { sent.withinNode[$0] }, kind.flatMap { sent.betweenNodes[$0] })
    let totals = try ranks.allReduce([near?.bytes ?? 0, far?.bytes ?? 0, otherNodes, setting.tokens], .sum)
    return ExchangeResult(
      operation: operation, levels: levels, setting, runs: own.count, seconds: Stopwatch.median(own),
      librarySeconds: library.isEmpty ? nil : Stopwatch.median(library), ranks: ranks.size,
      bytes: (totals[0], totals[1]), otherNodes: totals[2])
  }

  /// Nodes but this rank's that its tokens go to, summed over the tokens.
  private var otherNodes: Int {
    let (nodes, index) = (ranks.nodes, indices.elements(Int32.self))
    return (0..<setting.tokens).reduce(0) { sum, t in
      let reached = (0..<setting.selected).map {
        nodes[Int(index[t * setting.selected + $0]) * ranks.size / setting.experts]
      }
      return sum + Set(reached).subtracting([nodes[ranks.rank]]).count
    }
  }
}
