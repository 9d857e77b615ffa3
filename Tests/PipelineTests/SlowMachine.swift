@testable import Pipeline

/// A simulator without any cleverness: at every moment it looks at everything, and takes work off what runs.
struct SlowMachine {
  private struct Work: Hashable { var isForward: Bool, place: Place, microbatch: Int }

  let schedule: Schedule
  let costs: Costs
  private(set) var time = 0.0
  private(set) var starts: [[Double]]
  private(set) var ends: [[Double]]
  private(set) var peakBytes: [Double]
  private var remaining: [Double?]
  private var inputs: [Work: Double] = [:]
  private var linkFree: [Link.Ends: Double] = [:]

  init(_ schedule: Schedule, _ costs: Costs) {
    (self.schedule, self.costs) = (schedule, costs)
    starts = schedule.lanes.map { _ in [] }
    ends = starts
    remaining = schedule.lanes.map { _ in nil }
    peakBytes = schedule.lanes.map { _ in 0 }
  }

  mutating func run() {
    while ends.map(\.count) != schedule.lanes.map(\.count) {
      for rank in remaining.indices where remaining[rank] == nil { start(rank) }
      let running = remaining.compactMap { $0 }
      let speed = costs.processors.map { min(1, Double($0) / Double(max(1, running.count))) } ?? 1
      let nextEnd = running.map { $0 / speed }.min() ?? .infinity
      let nextArrival = inputs.values.map { $0 - time }.filter { $0 > 0 }.min() ?? .infinity
      let step = min(nextEnd, nextArrival)
      precondition(step.isFinite, "stuck at \(time)")
      // Whose end this is, is decided before rounding can hide it.
      let ending = remaining.map { $0.map { $0 / speed == step } ?? false }
      time = nextArrival <= nextEnd ? inputs.values.filter { $0 > time }.min()! : time + step
      for rank in remaining.indices {
        if let rest = remaining[rank] { remaining[rank] = max(0, rest - step * speed) }
        if ending[rank] { finish(rank) }
      }
    }
  }

  private func neighbor(_ place: Place, _ steps: Int) -> Place? {
    let route = schedule.placement.routes.first { $0.contains(place) }!
    let index = route.firstIndex(of: place)! + steps
    return route.indices.contains(index) ? route[index] : nil
  }

  private func stage(_ place: Place) -> Int {
    schedule.placement.routes.compactMap { $0.firstIndex(of: place) }[0]
  }

  private mutating func start(_ rank: Int) {
    guard starts[rank].count < schedule.lanes[rank].count else { return }
    let action = schedule.lanes[rank][starts[rank].count]
    for (cell, isForward) in [(action.forwardCell, true), (action.gradientCell, false)] {
      guard let cell else { continue }
      let place = Place(rank: rank, slot: cell.slot)
      guard neighbor(place, isForward ? -1 : 1) != nil else { continue }
      let work = Work(isForward: isForward, place: place, microbatch: cell.microbatch)
      guard let arrival = inputs[work], arrival <= time else { return }
    }
    starts[rank].append(time)
    remaining[rank] = seconds(action, rank)
    peakBytes[rank] = max(peakBytes[rank], liveBytes(rank))
  }

  private func seconds(_ action: Action, _ rank: Int) -> Double {
    let stage = { (cell: Cell?) in self.stage(Place(rank: rank, slot: cell!.slot)) }
    let backward = { costs.inputGradient[stage($0)] + costs.weightGradient[stage($0)] }
    switch action {
    case .forward(let cell): return costs.forward[stage(cell)]
    case .inputGradient(let cell): return costs.inputGradient[stage(cell)]
    case .weightGradient(let cell): return costs.weightGradient[stage(cell)]
    case .backward(let cell): return backward(cell)
    case .overlapped(let ahead, let back):
      return costs.overlapped?[stage(ahead)] ?? costs.forward[stage(ahead)] + backward(back)
    }
  }

  private mutating func finish(_ rank: Int) {
    let action = schedule.lanes[rank][ends[rank].count]
    ends[rank].append(time)
    remaining[rank] = nil
    for (cell, isForward) in [(action.forwardCell, true), (action.gradientCell, false)] {
      guard let cell, let to = neighbor(Place(rank: rank, slot: cell.slot), isForward ? 1 : -1) else {
        continue
      }
      let work = Work(isForward: isForward, place: to, microbatch: cell.microbatch)
      inputs[work] = time
      if to.rank == rank { continue }
      let ends = Link.Ends(from: rank, to: to.rank)
      let link = costs.links[ends] ?? costs.link
      linkFree[ends] = max(time, linkFree[ends] ?? 0) + costs.messageBytes / link.bandwidth
      inputs[work] = linkFree[ends]! + link.latency
    }
  }

  /// Counted anew from the lane: what has begun, less what has ended.
  private func liveBytes(_ rank: Int) -> Double {
    let lane = schedule.lanes[rank]
    let bytes = { (cell: Cell?) in
      cell.map { costs.activationBytes[stage(Place(rank: rank, slot: $0.slot))] } ?? 0
    }
    return lane.prefix(starts[rank].count).reduce(0) { $0 + bytes($1.forwardCell) }
      - lane.prefix(ends[rank].count).reduce(0) { $0 + bytes($1.weightCell) }
  }
}
