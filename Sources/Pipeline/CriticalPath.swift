extension Timeline {
  /// Goes back from the last end: to the sender of the message that an action waited for, or if it did not
  /// wait to the action before it in its lane.
  mutating func findCriticalPath(_ lanes: LaneIndex) {
    var path = CriticalPath()
    let last = spans.indices.max { (spans[$0].last?.end ?? 0) < (spans[$1].last?.end ?? 0) }
    var step = last.map { CriticalPath.Step(rank: $0, index: spans[$0].count - 1) }
    while let current = step {
      path.steps.append(current)
      let span = spans[current.rank][current.index]
      path.computing += span.end - span.start
      step = predecessor(of: current, lanes)
      if let step { path.traveling += span.start - spans[step.rank][step.index].end }
    }
    path.steps.reverse()
    criticalPath = path
  }

  /// Nil for an action that begins a lane and did not wait.
  private func predecessor(of step: CriticalPath.Step, _ lanes: LaneIndex) -> CriticalPath.Step? {
    let action = lanes.schedule.lanes[step.rank][step.index]
    if let kind = spans[step.rank][step.index].awaited {
      guard let place = lanes.source(of: kind, for: action, on: step.rank) else {
        preconditionFailure("\(action) on rank \(step.rank) waited for a \(kind) that nobody sends")
      }
      return .init(rank: place.rank, index: lanes.index(of: kind, for: action, at: place))
    }
    return step.index > 0 ? .init(rank: step.rank, index: step.index - 1) : nil
  }
}
