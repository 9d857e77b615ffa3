internal import Pipeline

extension ScheduleReport {
  /// Events for chrome://tracing and Perfetto: a thread for each rank, times in microseconds.
  var trace: String {
    var events = [Self.metadata("process_name", tid: 0, schedule.name)]
    for rank in 0..<schedule.ranks { events.append(Self.metadata("thread_name", tid: rank, "rank \(rank)")) }
    for (rank, lane) in schedule.lanes.enumerated() {
      for (action, span) in zip(lane, timeline.spans[rank]) {
        events.append(event(action, span, rank))
      }
    }
    return "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n" + events.joined(separator: ",\n") + "\n]}\n"
  }

  private func event(_ action: Action, _ span: Timeline.Span, _ rank: Int) -> String {
    let (start, duration) = (span.start * 1e6, (span.end - span.start) * 1e6)
    var arguments = cells(action).map { label, cell in
      let stage = schedule.placement.stage(at: Place(rank: rank, slot: cell.slot))
      let microbatch = schedule.globalMicrobatch(of: cell, on: rank)
      return "\"\(label)\": \"stage \(stage), micro-batch \(microbatch) of the step\""
    }
    if let kind = span.awaited { arguments.append("\"awaited\": \"\(kind)\"") }
    return """
      {"name": "\(action)", "cat": "\(action.title)", "ph": "X", "ts": \(start), "dur": \(duration), \
      "pid": 0, "tid": \(rank), "args": {\(arguments.joined(separator: ", "))}}
      """
  }

  private func cells(_ action: Action) -> [(String, Cell)] {
    switch action {
    case .overlapped(let forward, let backward): [("forward", forward), ("backward", backward)]
    case .forward(let cell), .backward(let cell), .inputGradient(let cell), .weightGradient(let cell):
      [("cell", cell)]
    }
  }

  private static func metadata(_ name: String, tid: Int, _ value: String) -> String {
    "{\"name\": \"\(name)\", \"ph\": \"M\", \"pid\": 0, \"tid\": \(tid), "
      + "\"args\": {\"name\": \"\(value)\"}}"
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
