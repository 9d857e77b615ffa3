internal import Communication
internal import Tensors

/// Rows between the ranks of a group, straight from each to each: out by `scatter`, back by `gather`.
///
/// `T` rows here, `S` copies of them that leave, `R` that arrive.
struct Hop {
  /// Rows that are arriving, and what is to be waited for.
  struct Arrival {
    let requests: [Request]
    /// `[R, D]`, in the order of the ranks that they are from.
    let rows: Operand
    /// `[R, K]`, and as many experts by their numbers here; on the way forward.
    let weights, experts: Tensor?
  }

  /// Rows that are coming back.
  struct Return {
    let requests: [Request]
    /// `[S, D]`, `[S, K]`
    let rows: Tensor
    let weights: Tensor?
  }

  let group: Communicator
  private let itinerary: Itinerary
  /// The first row for, and from, each rank, and the end.
  private let leaving, arriving: [Int]

  /// - Parameter arriving: rows that each rank of the group will send.
  init(_ itinerary: Itinerary, arriving: [Int], _ group: Communicator) {
    (self.itinerary, self.group) = (itinerary, group)
    (leaving, self.arriving) = (Self.offsets(itinerary.counts), Self.offsets(arriving))
  }

  private static func offsets(_ counts: [Int]) -> [Int] {
    counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
  }

  /// Rows for each rank of the group.
  var counts: [Int] { itinerary.counts }

  /// Sends rows `[T, D]`, and on the way forward weights `[T, K]` with the experts that they are of.
  func scatter(_ rows: Operand, weights: Tensor?, _ purpose: Purpose) -> Arrival {
    var transfer = Transfer(group, purpose, leaving: leaving, arriving: arriving)
    let total = arriving[group.size]
    let arrivingRows: Operand
    switch rows {
    case .numbers(let x):
      let target = Tensor([total, x.columns], x.dtype, on: x.device)
      transfer.start(x, gathering: itinerary.rows, into: target)
      arrivingRows = .numbers(target)
    case .codes(let x):
      precondition(x.tiling == .rows, "codes in \(x.tiling) cannot travel by rows")
      let target = QuantizedTensor(
        rows: [total, x.codes.columns], hasPowerOfTwoScales: x.hasPowerOfTwoScales, on: x.device)
      transfer.start(x.codes, gathering: itinerary.rows, into: target.codes)
      transfer.start(x.scales, gathering: itinerary.rows, into: target.scales)
      arrivingRows = .codes(target)
    }
    guard let weights else {
      return Arrival(requests: transfer.requests, rows: arrivingRows, weights: nil, experts: nil)
    }
    let arrivingWeights = Tensor([total, weights.columns], on: weights.device)
    let arrivingExperts = Tensor([total, weights.columns], .int32, on: weights.device)
    transfer.start(weights, gathering: itinerary.rows, into: arrivingWeights)
    transfer.start(itinerary.experts, into: arrivingExperts)
    return Arrival(
      requests: transfer.requests, rows: arrivingRows, weights: arrivingWeights, experts: arrivingExperts)
  }

  /// Sends rows `[R, D]` back to where they are from, and gradients of weights `[R, K]`.
  func gather(_ rows: Tensor, weights: Tensor?, _ purpose: Purpose) -> Return {
    var transfer = Transfer(group, purpose, leaving: arriving, arriving: leaving)
    let total = leaving[group.size]
    let target = Tensor([total, rows.columns], rows.dtype, on: rows.device)
    transfer.start(rows, into: target)
    let arrivingWeights = weights.map { Tensor([total, $0.columns], on: $0.device) }
    if let weights, let arrivingWeights { transfer.start(weights, into: arrivingWeights) }
    return Return(requests: transfer.requests, rows: target, weights: arrivingWeights)
  }

  /// For each row the sum of what came back for it, `[T, D]` and `[T, K]`, in float32 and in the order of the ranks,
  /// then in the type of the rows.
  func sum(_ arrived: Return) -> (rows: Tensor, weights: Tensor?) {
    let positions = itinerary.positions
    return (
      combineRows(arrived.rows, positions: positions),
      arrived.weights.map { combineRows($0, positions: positions) }
    )
  }
}
