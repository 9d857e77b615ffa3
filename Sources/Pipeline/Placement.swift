/// One slot of one rank: a stage of the model lies there.
package struct Place: Hashable, Sendable {
  package var rank: Int
  package var slot: Int

  package init(rank: Int, slot: Int) { (self.rank, self.slot) = (rank, slot) }
}

/// Where the stages of the model lie, and the routes on which micro-batches pass them.
///
/// A route has a place for each stage, first stage first. Each slot of each rank is in one route, once.
/// With several routes each stage lies at several places, whose gradients belong together.
package struct Placement: Hashable, Sendable {
  package let ranks: Int
  /// Stages of each rank.
  package let slots: Int
  /// `routes[i][stage]` is where micro-batches of route i meet the stage.
  package let routes: [[Place]]
  /// Route and stage of a place, by ``index(of:)``.
  private let positions: [Position]

  private struct Position: Hashable { var route, stage: Int }

  /// Routes that a user gives.
  ///
  /// - Throws: ``ScheduleError/unfit(schedule:reason:)`` if a slot is in no route or in two, routes differ in
  ///   length, or a stage is twice on one rank.
  package init(schedule: String, ranks: Int, routes: [[Place]]) throws(ScheduleError) {
    if let reason = Self.fault(ranks: ranks, routes: routes) {
      throw .unfit(schedule: schedule, reason: reason)
    }
    self.init(ranks: ranks, slots: routes.count * routes[0].count / ranks, routes: routes)
  }

  /// Routes that are known to fit.
  private init(ranks: Int, slots: Int, routes: [[Place]]) {
    (self.ranks, self.slots, self.routes) = (ranks, slots, routes)
    var positions = Array(repeating: Position(route: 0, stage: 0), count: ranks * slots)
    for (route, places) in routes.enumerated() {
      for (stage, place) in places.enumerated() {
        positions[place.rank * slots + place.slot] = Position(route: route, stage: stage)
      }
    }
    self.positions = positions
  }

  private static func fault(ranks: Int, routes: [[Place]]) -> String? {
    guard let stages = routes.first?.count, stages > 0, ranks > 0 else {
      return "\(ranks) ranks and \(routes.count) routes: there must be at least one of each"
    }
    if let other = routes.first(where: { $0.count != stages }) {
      return "a route of \(stages) places and one of \(other.count): each must pass all stages"
    }
    let places = routes.joined()
    guard places.count.isMultiple(of: ranks) else {
      return "\(places.count) places on \(ranks) ranks: each rank must have the same number"
    }
    let slots = places.count / ranks
    if let place = places.first(where: { !(0..<ranks ~= $0.rank && 0..<slots ~= $0.slot) }) {
      return "place \(place) is none of ranks 0 to \(ranks - 1) with slots 0 to \(slots - 1)"
    }
    var seen: Set<Place> = []
    for place in places where !seen.insert(place).inserted { return "place \(place) is in the routes twice" }
    for stage in 0..<stages where Set(routes.map { $0[stage].rank }).count < routes.count {
      return "stage \(stage) lies twice on one rank: its copies must be on different ranks"
    }
    return nil
  }
}

extension Placement {
  /// Stages of the model; more than ``ranks`` where a rank holds several, each once on a route.
  package var stages: Int { routes[0].count }

  /// Counts places, all slots of rank 0 first.
  package func index(of place: Place) -> Int {
    precondition(0..<ranks ~= place.rank && 0..<slots ~= place.slot, "\(place) of \(ranks) x \(slots)")
    return place.rank * slots + place.slot
  }

  /// The stage that lies there.
  package func stage(at place: Place) -> Int { positions[index(of: place)].stage }

  /// The route that passes there.
  package func route(at place: Place) -> Int { positions[index(of: place)].route }

  /// Where activations come from and gradients go; nil where the route begins. May be on the same rank.
  package func place(before place: Place) -> Place? {
    let position = positions[index(of: place)]
    return position.stage > 0 ? routes[position.route][position.stage - 1] : nil
  }

  /// Where activations go and gradients come from; nil where the route ends. May be on the same rank.
  package func place(after place: Place) -> Place? {
    let position = positions[index(of: place)]
    return position.stage + 1 < stages ? routes[position.route][position.stage + 1] : nil
  }

  /// Everywhere that the stage lies, a place for each route.
  package func places(of stage: Int) -> [Place] { routes.map { $0[stage] } }
}

extension Placement {
  /// Stage r on rank r.
  package static func plain(ranks: Int) -> Placement {
    Placement(ranks: ranks, slots: 1, routes: [(0..<ranks).map { Place(rank: $0, slot: 0) }])
  }

  /// Stage vP + r on rank r in slot v, so that a micro-batch passes all ranks `virtualStages` times.
  package static func interleaved(ranks: Int, virtualStages: Int) -> Placement {
    let route = (0..<ranks * virtualStages).map { Place(rank: $0 % ranks, slot: $0 / ranks) }
    return Placement(ranks: ranks, slots: virtualStages, routes: [route])
  }

  /// Stage s on rank s in slot 0 and on rank P - 1 - s in slot 1: two routes, in opposite directions.
  package static func bidirectional(ranks: Int) -> Placement {
    let down = (0..<ranks).map { Place(rank: $0, slot: 0) }
    let up = (0..<ranks).reversed().map { Place(rank: $0, slot: 1) }
    return Placement(ranks: ranks, slots: 2, routes: [down, up])
  }

  /// 2P stages: r on rank r in slot 0, then back, 2P - 1 - r on rank r in slot 1.
  package static func vee(ranks: Int) -> Placement {
    let down = (0..<ranks).map { Place(rank: $0, slot: 0) }
    let up = (0..<ranks).reversed().map { Place(rank: $0, slot: 1) }
    return Placement(ranks: ranks, slots: 2, routes: [down + up])
  }
}

extension Place: CustomStringConvertible {
  /// `2.1`: rank, slot.
  package var description: String { "\(rank).\(slot)" }
}
