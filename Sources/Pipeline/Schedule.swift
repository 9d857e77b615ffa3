/// What every rank of a pipeline computes in one step, in order: plain data.
///
/// Generators make it, ``verify()`` proves it, ``simulate(_:)`` times it, `description` prints it, and one
/// executor, which knows no schedule by name, runs it.
package struct Schedule: Hashable, Sendable {
  package let name: String
  /// Micro-batches of a step, of all routes together.
  package let microbatches: Int
  package let placement: Placement
  /// `lanes[rank]` is the work of one rank, first action first.
  package var lanes: [[Action]]

  /// - Throws: ``ScheduleError/unfit(schedule:reason:)`` if there is not a lane for each rank, or the routes
  ///   cannot have as many micro-batches each, or there are too many in all. Whether the lanes are right, only ``verify()`` says.
  package init(
    name: String, microbatches: Int, placement: Placement, lanes: [[Action]]
  ) throws(ScheduleError) {
    guard lanes.count == placement.ranks else {
      throw .unfit(schedule: name, reason: "\(lanes.count) lanes for \(placement.ranks) ranks")
    }
    let routes = placement.routes.count
    guard microbatches >= routes, microbatches.isMultiple(of: routes) else {
      throw .unfit(
        schedule: name,
        reason: "\(microbatches) micro-batches on \(routes) routes: give a multiple of \(routes)")
    }
    guard microbatches <= Self.maximumCells / placement.stages else {
      throw .unfit(
        schedule: name,
        reason: "\(microbatches) micro-batches x \(placement.stages) stages are more than "
          + "\(Self.maximumCells) cells: take fewer")
    }
    (self.name, self.microbatches, self.placement, self.lanes) = (name, microbatches, placement, lanes)
  }

  /// The same as ranks play it.
  /// - Parameter overlapping: `parallel.overlap`: each whole backward is in two parts, one after the other, as the gradient
  ///   of the input leaves before the weight gradients are computed.
  package func asPlayed(overlapping: Bool) -> Schedule {
    guard overlapping else { return self }
    var schedule = self
    schedule.lanes = lanes.map { lane in
      lane.flatMap { action -> [Action] in
        if case .backward(let cell) = action {
          [.inputGradient(cell), .weightGradient(cell)]
        } else {
          [action]
        }
      }
    }
    return schedule
  }

  /// P.
  package var ranks: Int { placement.ranks }

  /// Micro-batches that enter each route.
  package var microbatchesPerRoute: Int { microbatches / placement.routes.count }

  /// Which micro-batch of the step the cell is, in `0..<microbatches`: route 0 has the first ones.
  package func globalMicrobatch(of cell: Cell, on rank: Int) -> Int {
    let route = placement.route(at: Place(rank: rank, slot: cell.slot))
    return route * microbatchesPerRoute + cell.microbatch
  }
}
