internal import Pipeline
internal import Training

extension ScheduleReport {
  /// Events for chrome://tracing and Perfetto: a thread for each rank, times in microseconds.
  var trace: String {
    var events = [TraceText.process(0, name: schedule.name)]
    for rank in 0..<schedule.ranks {
      events.append(TraceText.thread(rank, ofProcess: 0, name: "rank \(rank)"))
    }
    for (rank, lane) in schedule.lanes.enumerated() {
      for (action, span) in zip(lane, timeline.spans[rank]) {
        events.append(event(action, span, rank))
      }
    }
    return TraceText.document(events)
  }

  private func event(_ action: Action, _ span: Timeline.Span, _ rank: Int) -> String {
    let (start, duration) = (span.start * 1e6, (span.end - span.start) * 1e6)
    var arguments = cells(action).map { label, cell in
      let stage = schedule.placement.stage(at: Place(rank: rank, slot: cell.slot))
      let microbatch = schedule.globalMicrobatch(of: cell, on: rank)
      return "\"\(label)\": \"stage \(stage), micro-batch \(microbatch) of the step\""
    }
    if let kind = span.awaited { arguments.append("\"awaited\": \"\(kind)\"") }
    return TraceText.span(
      "\(action)", category: action.title, start: start, duration: duration, process: 0, thread: rank,
      arguments: arguments)
  }

  private func cells(_ action: Action) -> [(String, Cell)] {
    switch action {
    case .overlapped(let forward, let backward): [("forward", forward), ("backward", backward)]
    case .forward(let cell), .backward(let cell), .inputGradient(let cell), .weightGradient(let cell):
      [("cell", cell)]
    }
  }
}

extension Action {
  /// In legends.
  var title: String {
    switch self {
    case .forward: "forward"
    case .backward: "backward"
    case .inputGradient: "input gradient"
    case .weightGradient: "weight gradient"
    case .overlapped: "overlapped"
    }
  }
}
