extension Schedule {
  /// Proves that the schedule does the work of one step, and comes to its end.
  ///
  /// Every place does one F, one I and one W of each of its micro-batches (B is both I and W), in an order
  /// that its own rank can keep; every message is sent and received once, since both follow from these; and no
  /// ranks wait for each other. Both halves of an overlapped pair begin when the messages of both are there.
  ///
  /// - Throws: ``ScheduleError/fault(_:)`` or ``ScheduleError/deadlock(schedule:cycle:)``.
  package func verify() throws(ScheduleError) { _ = try verifiedIndex() }

  /// The ranks that hold each other up: what `rank` waits for, what that rank waits for, and so on, until one
  /// that does not wait, or is in the list already.
  ///
  /// - Parameter positions: for each rank how many of its actions are done.
  /// - Throws: ``ScheduleError/fault(_:)`` if the schedule is wrong in itself.
  package func waits(from rank: Int, at positions: [Int]) throws(ScheduleError) -> [ScheduleWait] {
    precondition(positions.count == ranks, "\(positions.count) positions of \(ranks) ranks")
    return try LaneIndex(self).waits(from: rank, at: positions)
  }

  func verifiedIndex() throws(ScheduleError) -> LaneIndex {
    let index = try LaneIndex(self)
    var positions = Array(repeating: 0, count: ranks)
    var hasMoved = true
    while hasMoved {
      hasMoved = false
      for rank in 0..<ranks {
        while positions[rank] < lanes[rank].count, index.obstacle(to: rank, at: positions) == nil {
          positions[rank] += 1
          hasMoved = true
        }
      }
    }
    guard let stuck = lanes.indices.first(where: { positions[$0] < lanes[$0].count }) else { return index }
    let waits = index.waits(from: stuck, at: positions)
    // The way from `stuck` into the cycle is of no interest.
    let cycle = waits.drop { $0.rank != waits.last?.awaitedRank }
    throw .deadlock(schedule: name, cycle: Array(cycle))
  }
}

extension LaneIndex {
  /// A result that is not there yet.
  struct Obstacle {
    var kind: Message.Kind
    /// Where it is made.
    var place: Place
    var index: Int
  }

  /// What keeps the rank from its next action; nil if nothing does.
  func obstacle(to rank: Int, at positions: [Int]) -> Obstacle? {
    let action = schedule.lanes[rank][positions[rank]]
    for kind in Message.Kind.allCases {
      guard let place = source(of: kind, for: action, on: rank) else { continue }
      let index = index(of: kind, for: action, at: place)
      if index >= positions[place.rank] { return Obstacle(kind: kind, place: place, index: index) }
    }
    return nil
  }

  func waits(from rank: Int, at positions: [Int]) -> [ScheduleWait] {
    var waits: [ScheduleWait] = []
    var next = rank
    while positions[next] < schedule.lanes[next].count, !waits.contains(where: { $0.rank == next }),
      let obstacle = obstacle(to: next, at: positions)
    {
      waits.append(wait(of: next, index: positions[next], for: obstacle))
      next = obstacle.place.rank
    }
    return waits
  }

  /// Where the message of this kind comes from that the action needs; nil if it needs none.
  func source(of kind: Message.Kind, for action: Action, on rank: Int) -> Place? {
    switch kind {
    case .activation:
      action.forwardCell.flatMap { schedule.placement.place(before: Place(rank: rank, slot: $0.slot)) }
    case .gradient:
      action.gradientCell.flatMap { schedule.placement.place(after: Place(rank: rank, slot: $0.slot)) }
    }
  }

  /// The index in the lane of the place's rank where that message is made.
  func index(of kind: Message.Kind, for action: Action, at place: Place) -> Int {
    guard let microbatch = (kind == .activation ? action.forwardCell : action.gradientCell)?.microbatch else {
      preconditionFailure("\(action) needs no \(kind)")
    }
    let cell = Cell(slot: place.slot, microbatch: microbatch)
    return index(of: kind == .activation ? .forward : .inputGradient, cell, on: place.rank)
  }

  private func wait(of rank: Int, index: Int, for obstacle: Obstacle) -> ScheduleWait {
    let action = schedule.lanes[rank][index]
    let message = schedule.placement.messages(receivedBy: action, on: rank).first { $0.kind == obstacle.kind }
    return ScheduleWait(
      rank: rank, index: index, action: action,
      message: obstacle.place.rank == rank ? nil : message,
      awaited: schedule.lanes[obstacle.place.rank][obstacle.index],
      awaitedRank: obstacle.place.rank, awaitedIndex: obstacle.index)
  }
}
