internal import Autograd
internal import Communication
package import Tensors

/// A layer's way through a ``RankExchange``, a hop for each group of its path.
///
/// The first hop may be slow: other work hides it. Later ones stay within a node, and are waited for where they are;
/// their numbers of rows are told when the rows have come so far.
package final class RankRoute: ExpertRoute {
  private let path: ExchangePath
  private let waiter: Waiter
  private let layer, microBatch: Int
  /// Those that are reached through each rank of a group, by hop.
  private let expertsOfRank: [Int]
  /// As far as rows have come.
  private var hops: [Hop] = []
  private var known: RoutingPlan?
  private var scatter: Hop.Arrival?
  /// Rows that come back, and the hop on which they are.
  private var gather: (rows: Gather, hop: Int)?

  /// Agrees with the ranks of the first group on how many rows travel.
  init(
    _ indices: Tensor, experts: Int, path: ExchangePath, waiter: Waiter, layer: Int, microBatch: Int
  ) {
    (self.path, self.waiter, self.layer, self.microBatch) = (path, waiter, layer, microBatch)
    expertsOfRank = path.groups.indices.map { hop in
      path.groups[...hop].reduce(experts) { $0 / $1.size }
    }
    addHop(indices)
  }

  private func addHop(_ indices: Tensor) {
    let (group, experts) = (path.groups[hops.count], expertsOfRank[hops.count])
    let itinerary = Itinerary(indices, ranks: group.size, expertsOfRank: experts)
    let arriving = waiter.exchange(counts: itinerary.counts, of: group, purpose("row counts", .control))
    let isLast = hops.count == path.groups.count - 1
    hops.append(Hop(itinerary, arriving: arriving, group, passesOn: !isLast))
  }

  package var isReadInPlace: Bool { path.isReadInPlace }

  package var plan: RoutingPlan {
    guard let known else { preconditionFailure("layer \(layer): the plan of rows that have not arrived") }
    return known
  }

  /// Rows that leave for each rank of a group, by hop, as far as rows have come.
  package var counts: [[Int]] { hops.map(\.counts) }

  package func startScatter(_ rows: Operand, weights: Tensor?) {
    precondition(scatter == nil, "layer \(layer): a second scatter before the first has arrived")
    scatter = hops[0].scatter(rows, weights: weights, purpose("dispatch", .dispatch))
  }

  package func finishScatter() -> (rows: Operand, weights: Tensor?) {
    guard var arrival = scatter else { preconditionFailure("layer \(layer): no scatter is under way") }
    scatter = nil
    waiter.finishHidden(arrival.requests, of: path.groups[0])
    arrival.finish()
    for hop in path.groups.indices.dropFirst() {
      if hops.count == hop {
        guard let experts = arrival.experts else {
          preconditionFailure("layer \(layer): rows of hop \(hop) without experts")
        }
        addHop(experts)
      }
      arrival = hops[hop].scatter(arrival.rows, weights: arrival.weights, purpose("dispatch", .dispatch))
      waiter.finish(arrival.requests, of: path.groups[hop])
      arrival.finish()
    }
    if let experts = arrival.experts {
      known = RoutingPlan(experts, experts: expertsOfRank[path.groups.count - 1])
    }
    return (arrival.rows, arrival.weights)
  }

  package func startGather(_ rows: Tensor, weights: Tensor?) {
    precondition(gather == nil, "layer \(layer): a second gather before the first has arrived")
    let last = path.groups.count - 1
    gather = (hops[last].gather(rows, weights: weights, purpose("combine", .combine)), last)
    // What is computed until `finishGather` hides one hop. With a second strand, which hides the slow hop then, it is
    // the one within the node; without, the slow one.
    if !waiter.isBesideAnother { _ = passOn() }
  }

  package func finishGather() -> (rows: Tensor, weights: Tensor?) {
    let rows = passOn()
    gather = nil
    waiter.finishHidden(rows.requests, of: path.groups[0])
    return hops[0].sum(rows)
  }

  /// Brings rows that come back as far as the first hop.
  private func passOn() -> Gather {
    guard var (rows, hop) = gather else { preconditionFailure("layer \(layer): no gather is under way") }
    while hop > 0 {
      waiter.finish(rows.requests, of: path.groups[hop])
      let sums = hops[hop].sum(rows)
      hop -= 1
      rows = hops[hop].gather(sums.rows, weights: sums.weights, purpose("combine", .combine))
    }
    gather = (rows, hop)
    return rows
  }

  private func purpose(_ operation: String, _ kind: MessageKind) -> Purpose {
    Purpose(operation, kind, layer: layer, microBatch: microBatch)
  }
}
