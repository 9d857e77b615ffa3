internal import Communication
internal import Tensors

/// Rows between the ranks of a group, straight from each to each: out by `scatter`, back by `gather`.
///
/// `T` rows here, `S` copies of them that leave, `R` that arrive.
struct Hop {
  /// Rows that are arriving.
  struct Arrival {
    private var scatter: Scatter
    /// `[R, D]`, in the order of the ranks that they are from.
    let rows: Operand
    /// `[R, K]`, and as many experts by their numbers here; on the way forward.
    let weights, experts: Tensor?

    init(_ scatter: Scatter, rows: Operand, weights: Tensor?, experts: Tensor?) {
      (self.scatter, self.rows, self.weights, self.experts) = (scatter, rows, weights, experts)
    }

    /// To be waited for before ``finish()``.
    var requests: [Request] { scatter.requests }

    mutating func finish() { scatter.finish() }
  }

  let group: Communicator
  private let itinerary: Itinerary
  /// The first row for, and from, each rank, and the end.
  private let leaving, arriving: [Int]
  private let passesOn: Bool

  /// - Parameters:
  ///   - arriving: rows that each rank of the group will send.
  ///   - passesOn: whether they go on from here.
  init(_ itinerary: Itinerary, arriving: [Int], _ group: Communicator, passesOn: Bool) {
    (self.itinerary, self.group, self.passesOn) = (itinerary, group, passesOn)
    (leaving, self.arriving) = (Self.offsets(itinerary.counts), Self.offsets(arriving))
  }

  private static func offsets(_ counts: [Int]) -> [Int] {
    counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
  }

  /// Rows for each rank of the group.
  var counts: [Int] { itinerary.counts }

  /// Sends rows `[T, D]`, and on the way forward weights `[T, K]` with the experts that they are of.
  func scatter(_ rows: Operand, weights: Tensor?, _ purpose: Purpose) -> Arrival {
    var parts: [Scatter.Part] = []
    let total = arriving[group.size]
    @discardableResult func add(
      _ rows: Tensor, into target: Tensor? = nil, isIndexed: Bool = true
    ) -> Tensor {
      let target = target ?? lending { Tensor([total, rows.columns], rows.dtype, on: rows.device) }
      parts.append(Scatter.Part(rows: rows, isIndexed: isIndexed, target: target))
      return target
    }
    let arrivingRows: Operand
    switch rows {
    case .numbers(let x): arrivingRows = .numbers(add(x))
    case .codes(let x):
      precondition(x.tiling == .rows, "codes in \(x.tiling) cannot travel by rows")
      let target = lending {
        QuantizedTensor(
          rows: [total, x.codes.columns], hasPowerOfTwoScales: x.hasPowerOfTwoScales, on: x.device)
      }
      add(x.codes, into: target.codes)
      add(x.scales, into: target.scales)
      arrivingRows = .codes(target)
    }
    let arrivingWeights = weights.map { add($0) }
    let experts = weights.map { _ in add(itinerary.experts, isIndexed: false) }
    let scatter = Scatter(
      parts, index: itinerary.rows, leaving: leaving, arriving: arriving, Links(group, purpose))
    return Arrival(scatter, rows: arrivingRows, weights: arrivingWeights, experts: experts)
  }

  /// What goes on from here is made to be read by the next ranks.
  private func lending<Result>(_ body: () -> Result) -> Result {
    itinerary.rows.device.lending(if: passesOn, body)
  }

  /// Sends rows `[R, D]` back to where they are from, and gradients of weights `[R, K]`. They stay as they are until
  /// they have been summed.
  func gather(_ rows: Tensor, weights: Tensor?, _ purpose: Purpose) -> Gather {
    let parts = [rows] + [weights].compactMap { $0 }
    return Gather(parts, leaving: arriving, arriving: leaving, Links(group, purpose))
  }

  /// For each row the sum of what came back for it, `[T, D]` and `[T, K]`, in float32 and in the order of the ranks,
  /// then in the type of the rows.
  func sum(_ arrived: Gather) -> (rows: Tensor, weights: Tensor?) {
    let sums = arrived.finish().map { combineRows($0, positions: itinerary.positions) }
    return (sums[0], sums.count > 1 ? sums[1] : nil)
  }
}
