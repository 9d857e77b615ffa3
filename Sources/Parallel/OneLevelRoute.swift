internal import Autograd
internal import Communication
internal import Tensors

/// A layer's way through a ``OneLevelExchange``.
final class OneLevelRoute: ExpertRoute {
  private let itinerary: Itinerary
  private let experts: Int
  private let group: Communicator
  private let waiter: Waiter
  private let layer, microBatch: Int
  /// The first row for, and from, each rank, and the end.
  private let leaving, arriving: [Int]
  private var known: RoutingPlan?
  private var scatter: (transfer: Transfer, rows: Operand, weights: Tensor?, experts: Tensor?)?
  private var gather: (transfer: Transfer, rows: Tensor, weights: Tensor?)?

  init(
    _ itinerary: Itinerary, arriving: [Int], experts: Int, group: Communicator, waiter: Waiter, layer: Int,
    microBatch: Int
  ) {
    (self.itinerary, self.experts, self.group, self.waiter) = (itinerary, experts, group, waiter)
    (self.layer, self.microBatch) = (layer, microBatch)
    (leaving, self.arriving) = (Self.offsets(itinerary.counts), Self.offsets(arriving))
  }

  private static func offsets(_ counts: [Int]) -> [Int] {
    counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
  }

  var plan: RoutingPlan {
    guard let known else { preconditionFailure("layer \(layer): the plan of rows that have not arrived") }
    return known
  }

  func startScatter(_ rows: Operand, weights: Tensor?) {
    precondition(scatter == nil, "layer \(layer): a second scatter before the first has arrived")
    var transfer = transfer("dispatch", .dispatch, from: leaving, to: arriving)
    let total = arriving[group.size]
    let arrivingRows: Operand
    switch rows {
    case .numbers(let x):
      let target = Tensor([total, x.columns], x.dtype, on: x.device)
      transfer.start(gatherRows(x, itinerary.tokens), into: target)
      arrivingRows = .numbers(target)
    case .codes(let x):
      precondition(x.tiling == .rows, "codes in \(x.tiling) cannot travel by rows")
      let target = QuantizedTensor(
        rows: [total, x.codes.columns], hasPowerOfTwoScales: x.hasPowerOfTwoScales, on: x.device)
      transfer.start(gatherRows(x.codes, itinerary.tokens), into: target.codes)
      transfer.start(gatherRows(x.scales, itinerary.tokens), into: target.scales)
      arrivingRows = .codes(target)
    }
    guard let weights else {
      scatter = (transfer, arrivingRows, nil, nil)
      return
    }
    let arrivingWeights = Tensor([total, weights.columns], on: weights.device)
    let arrivingExperts = Tensor([total, weights.columns], .int32, on: weights.device)
    transfer.start(gatherRows(weights, itinerary.tokens), into: arrivingWeights)
    transfer.start(itinerary.experts, into: arrivingExperts)
    scatter = (transfer, arrivingRows, arrivingWeights, arrivingExperts)
  }

  func finishScatter() -> (rows: Operand, weights: Tensor?) {
    guard let (transfer, rows, weights, indices) = scatter else {
      preconditionFailure("layer \(layer): no scatter is under way")
    }
    scatter = nil
    waiter.finishHidden(transfer.requests, of: group)
    if let indices { known = RoutingPlan(indices, experts: experts) }
    return (rows, weights)
  }

  func startGather(_ rows: Tensor, weights: Tensor?) {
    precondition(gather == nil, "layer \(layer): a second gather before the first has arrived")
    var transfer = transfer("combine", .combine, from: arriving, to: leaving)
    let target = Tensor([leaving[group.size], rows.columns], rows.dtype, on: rows.device)
    transfer.start(rows, into: target)
    let arrivingWeights = weights.map { Tensor([leaving[group.size], $0.columns], on: $0.device) }
    if let weights, let arrivingWeights { transfer.start(weights, into: arrivingWeights) }
    gather = (transfer, target, arrivingWeights)
  }

  func finishGather() -> (rows: Tensor, weights: Tensor?) {
    guard let (transfer, rows, weights) = gather else {
      preconditionFailure("layer \(layer): no gather is under way")
    }
    gather = nil
    waiter.finishHidden(transfer.requests, of: group)
    let positions = itinerary.positions
    return (combineRows(rows, positions: positions), weights.map { combineRows($0, positions: positions) })
  }

  private func transfer(
    _ operation: String, _ kind: MessageKind, from leaving: [Int], to arriving: [Int]
  ) -> Transfer {
    Transfer(
      group, Purpose(operation, kind, layer: layer, microBatch: microBatch), leaving: leaving,
      arriving: arriving)
  }
}
