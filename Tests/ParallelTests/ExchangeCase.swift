import Autograd
import Communication
import Parallel
import Tensors

/// Tokens of several ranks, their experts, and what experts make of them: forward and backward, as a layer does it.
///
/// An expert multiplies by its weight and by `factor(expert)`; backward multiplies likewise. With whole numbers all of
/// it is exact in every payload.
struct ExchangeCase: Sendable {
  enum Levels: CaseIterable, Sendable { case one, two }
  enum Payload: Sendable { case float32, bfloat16, float8 }
  enum Routing: Sendable { case spread, oneExpert }

  var nodes: [Int]
  var tokens: [Int]
  var payload = Payload.float32
  var routing = Routing.spread
  var experts = 16
  /// Whether ranks of a node read each other's rows; else all are sent.
  var sharesMemory = true
  let width = 136, selected = 3

  /// What a rank has at the end, and what it has sent.
  struct Outcome: Sendable {
    var y, dx, dWeights: [Float]
    var traffic: TrafficCounters
  }

  func factor(_ expert: Int) -> Int { 1 + expert % 2 }

  /// `[T][K]`, distinct.
  func indices(_ rank: Int) -> [[Int]] {
    (0..<tokens[rank]).map { t in
      guard routing == .spread else { return [0, 1, 2] }
      let first = (rank * 31 + t * 17 + t * t) % experts
      return [first, (first + 1 + t % 5) % experts, (first + 6 + (rank + t) % 9) % experts]
    }
  }

  func weight(_ rank: Int, _ t: Int, _ k: Int) -> Int { 1 + (rank + t + k) % 2 }

  /// Whole numbers up to 8; for float32, others.
  func number(_ rank: Int, _ t: Int, _ d: Int) -> Float {
    let whole = Float((rank * 5 + t * 3 + d * 7) % 17 - 8)
    return payload == .float32 ? whole / 7 : whole
  }

  func outcomes(_ levels: Levels) throws -> [Outcome] {
    let settings = World.Settings(timeout: 60, sharesMemory: sharesMemory)
    return try World.loopback(ranks: nodes.count, nodes: nodes, settings: settings) { world in
      let device = try Device(threads: 1)
      let group = world.communicator
      let path = levels == .one ? ExchangePath.oneLevel(group) : try .twoLevel(group)
      return run(group, path, on: device)
    }
  }

  private func run(_ group: Communicator, _ path: ExchangePath, on device: Device) -> Outcome {
    let (rank, count) = (group.rank, tokens[group.rank])
    device.lend(to: group)
    let exchange = RankExchange(path, experts: experts, microBatch: 0, waiter: Waiter())
    let chosen = Tensor([count, selected], indices(rank).flatMap { $0.map(Int32.init) }, on: device)
    let weights = Tensor(
      [count, selected],
      (0..<count).flatMap { t in (0..<selected).map { k in Float(weight(rank, t, k)) } }, on: device)
    let values = (0..<count).flatMap { t in (0..<width).map { number(rank, t, $0) } }
    let x = Tensor([count, width], values, on: device).converted(
      to: payload == .float32 ? .float32 : .bfloat16)
    let operand: Operand =
      payload == .float8 ? .codes(quantizeRows(x, ScaleSettings(powerOfTwo: true))) : .numbers(x)
    let before = group.counters
    let route = exchange.route(chosen, layer: 3)
    route.startScatter(operand, weights: weights)
    let (rows, arrived) = route.finishScatter()
    let local = localSums(route.plan, arrived, first: rank * experts / group.size)
    route.startGather(scaled(rows.numbers, local.rows), weights: nil)
    let y = route.finishGather().rows
    route.startScatter(operand, weights: nil)
    let dy = route.finishScatter().rows.numbers
    route.startGather(scaled(dy, local.rows), weights: local.weights)
    let (dx, dWeights) = route.finishGather()
    return Outcome(
      y: Array(y.converted(to: .float32).floats), dx: Array(dx.converted(to: .float32).floats),
      dWeights: dWeights.map { Array($0.floats) } ?? [], traffic: group.counters.since(before))
  }

  /// Of each row that arrived, what its experts here multiply by in all; and of each weight, its expert's factor.
  private func localSums(
    _ plan: RoutingPlan, _ weights: Tensor?, first: Int
  ) -> (rows: [Float], weights: Tensor?) {
    guard let weights else { return ([], nil) }
    let factors = Tensor.zeros(weights.shape, on: weights.device)
    let slots = plan.slots.elements(Int32.self)
    for expert in plan.counts.indices {
      for row in plan.offsets[expert]..<plan.offsets[expert + 1] {
        factors.floats[Int(slots[row])] = Float(factor(first + expert))
      }
    }
    let sums = (0..<weights.rows).map { row in
      (0..<selected).reduce(Float(0)) {
        $0 + weights.floats[row * selected + $1] * factors.floats[row * selected + $1]
      }
    }
    return (sums, factors)
  }

  private func scaled(_ rows: Tensor, _ factors: [Float]) -> Tensor {
    let result = rows.converted(to: .float32)
    let copy = Tensor(result.shape, Array(result.floats), on: result.device)
    for i in 0..<copy.count { copy.floats[i] *= factors[i / width] }
    return copy.converted(to: rows.dtype)
  }

  /// `Σ_k w_tk factor(e_tk) x_t`, in double precision.
  func expected(_ rank: Int) -> [Double] {
    indices(rank).enumerated().flatMap { t, experts in
      let sum = experts.enumerated().reduce(0) { $0 + weight(rank, t, $1.offset) * factor($1.element) }
      return (0..<width).map { Double(sum) * Double(number(rank, t, $0)) }
    }
  }

  /// How many rows a rank sends to other ranks of its node, and to other nodes, on the way out.
  func rowsSent(_ rank: Int, _ levels: Levels) -> (near: Int, far: Int) {
    let ranksOfNode = nodes.count / Set(nodes).count
    let targets = { (source: Int, t: Int) in
      Set(indices(source)[t].map { $0 * nodes.count / experts })
    }
    var (near, far) = (0, 0)
    for source in nodes.indices {
      for t in 0..<tokens[source] {
        let ranks = targets(source, t)
        switch levels {
        case .one where source == rank:
          near += ranks.count { $0 != rank && nodes[$0] == nodes[rank] }
          far += ranks.count { nodes[$0] != nodes[rank] }
        case .two where source % ranksOfNode == rank % ranksOfNode:
          // It forwards what its counterparts, itself among them, have sent to its node.
          near += ranks.count { $0 != rank && nodes[$0] == nodes[rank] }
          if source == rank { far += Set(ranks.map { nodes[$0] }).subtracting([nodes[rank]]).count }
        default: break
        }
      }
    }
    return (near, far)
  }

  /// Rows that a rank sends back: those that it got, but for its own.
  func rowsReturned(_ rank: Int, _ levels: Levels) -> (near: Int, far: Int) {
    let ranksOfNode = nodes.count / Set(nodes).count
    var (near, far) = (0, 0)
    for source in nodes.indices {
      for experts in indices(source) {
        let ranks = Set(experts.map { $0 * nodes.count / self.experts })
        let isNear = nodes[source] == nodes[rank]
        switch levels {
        case .one:
          guard source != rank, ranks.contains(rank) else { continue }
          if isNear { near += 1 } else { far += 1 }
        case .two:
          let isForwarder = source % ranksOfNode == rank % ranksOfNode
          if !isForwarder, ranks.contains(rank) { near += 1 }
          if isForwarder, !isNear, ranks.contains(where: { nodes[$0] == nodes[rank] }) { far += 1 }
        }
      }
    }
    return (near, far)
  }
}
