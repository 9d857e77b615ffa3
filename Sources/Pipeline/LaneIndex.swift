/// Where each part of each cell is done: for a place and a micro-batch the index in its rank's lane.
///
/// Making one proves that nothing is missing, doubled or unknown, and that on its own rank each backward
/// comes after its forward, and each weight gradient after its input gradient.
struct LaneIndex {
  enum Part: Int { case forward, inputGradient, weightGradient }

  let schedule: Schedule
  /// By part, then by place and micro-batch; -1 while unknown.
  private var tables: [[Int32]]
  private let microbatches: Int

  /// - Throws: ``ScheduleError/fault(_:)``.
  init(_ schedule: Schedule) throws(ScheduleError) {
    self.schedule = schedule
    microbatches = schedule.microbatchesPerRoute
    let cells = schedule.ranks * schedule.placement.slots * microbatches
    tables = Array(repeating: Array(repeating: -1, count: cells), count: 3)
    for (rank, lane) in schedule.lanes.enumerated() {
      for (index, action) in lane.enumerated() { try record(action, rank, index) }
    }
    for (rank, lane) in schedule.lanes.enumerated() {
      for (index, action) in lane.enumerated() { try checkOrder(action, rank, index) }
    }
    for rank in 0..<schedule.ranks { try checkPresence(rank) }
  }

  /// The index in the rank's lane where it does the part of the cell.
  func index(of part: Part, _ cell: Cell, on rank: Int) -> Int {
    Int(tables[part.rawValue][entry(cell, rank)])
  }

  private func entry(_ cell: Cell, _ rank: Int) -> Int {
    (rank * schedule.placement.slots + cell.slot) * microbatches + cell.microbatch
  }
}

extension LaneIndex {
  private mutating func record(_ action: Action, _ rank: Int, _ index: Int) throws(ScheduleError) {
    let parts: [(Part, Cell?)] = [
      (.forward, action.forwardCell), (.inputGradient, action.gradientCell),
      (.weightGradient, action.weightCell),
    ]
    for (part, cell) in parts {
      guard let cell else { continue }
      try checkRange(cell, rank, index)
      let before = self.index(of: part, cell, on: rank)
      guard before < 0 else {
        let other = schedule.lanes[rank][before]
        throw fault(
          rank, index, "\(part.title) of \(cell) is done twice, first by \(other) at index \(before)")
      }
      tables[part.rawValue][entry(cell, rank)] = Int32(index)
    }
  }

  private func checkRange(_ cell: Cell, _ rank: Int, _ index: Int) throws(ScheduleError) {
    let slots = schedule.placement.slots
    guard 0..<slots ~= cell.slot else {
      throw fault(rank, index, "slot \(cell.slot) is none of 0 to \(slots - 1)")
    }
    guard 0..<microbatches ~= cell.microbatch else {
      throw fault(rank, index, "micro-batch \(cell.microbatch) is none of 0 to \(microbatches - 1)")
    }
  }

  private func checkOrder(_ action: Action, _ rank: Int, _ index: Int) throws(ScheduleError) {
    if let cell = action.gradientCell { try check(.forward, of: cell, before: index, rank) }
    if case .weightGradient(let cell) = action {
      try check(.inputGradient, of: cell, before: index, rank)
    }
  }

  private func check(
    _ part: Part, of cell: Cell, before index: Int, _ rank: Int
  ) throws(ScheduleError) {
    let found = self.index(of: part, cell, on: rank)
    if found >= 0, found < index { return }
    let awaited = "awaits \(part.action(cell)) of its own rank"
    guard found >= 0 else { throw fault(rank, index, "\(awaited), which is missing") }
    let place = found == index ? "begins at the same time" : "comes later, at index \(found)"
    throw fault(rank, index, "\(awaited), which \(place)")
  }

  private func checkPresence(_ rank: Int) throws(ScheduleError) {
    for slot in 0..<schedule.placement.slots {
      for microbatch in 0..<microbatches {
        let cell = Cell(slot: slot, microbatch: microbatch)
        for part in [Part.forward, .inputGradient, .weightGradient] where index(of: part, cell, on: rank) < 0
        {
          throw missing(part, cell, rank)
        }
      }
    }
  }

  /// Says which action waits in vain, if one does.
  private func missing(_ part: Part, _ cell: Cell, _ rank: Int) -> ScheduleError {
    let place = Place(rank: rank, slot: cell.slot)
    let lack = "\(part.action(cell)) is missing"
    let reader: Place? =
      switch part {
      case .forward: schedule.placement.place(after: place)
      case .inputGradient: schedule.placement.place(before: place)
      case .weightGradient: nil
      }
    if let reader {
      let index = index(of: part, Cell(slot: reader.slot, microbatch: cell.microbatch), on: reader.rank)
      let kind: Message.Kind = part == .forward ? .activation : .gradient
      if index >= 0 {
        return fault(
          reader.rank, index,
          "awaits the \(kind) of micro-batch \(cell.microbatch) from rank \(rank) slot \(cell.slot), "
            + "which no action sends: there \(lack)")
      }
    }
    return fault(rank, schedule.lanes[rank].count, lack)
  }

  private func fault(_ rank: Int, _ index: Int, _ reason: String) -> ScheduleError {
    let lane = schedule.lanes[rank]
    return .fault(
      ScheduleFault(
        schedule: schedule.name, rank: rank, index: index,
        action: lane.indices.contains(index) ? lane[index] : nil, reason: reason))
  }
}

extension LaneIndex.Part {
  fileprivate var title: String {
    switch self {
    case .forward: "the forward"
    case .inputGradient: "the input gradient"
    case .weightGradient: "the weight gradient"
    }
  }

  /// The plainest action that does this part.
  fileprivate func action(_ cell: Cell) -> Action {
    switch self {
    case .forward: .forward(cell)
    case .inputGradient: .inputGradient(cell)
    case .weightGradient: .weightGradient(cell)
    }
  }
}
