internal import Communication

/// What a rank did when, in a step that is traced.
package struct StepTimeline: Sendable {
  /// Something that was computed.
  package struct Event: Sendable {
    /// As in `F0.3`, or `update`.
    package let name: String
    package let start, end: ContinuousClock.Instant

    package init(_ name: String, _ start: ContinuousClock.Instant, _ end: ContinuousClock.Instant) {
      (self.name, self.start, self.end) = (name, start, end)
    }
  }

  /// When all ranks began: what their clocks are compared by.
  let origin: ContinuousClock.Instant
  let computed: [Event]
  let messages: [MessageEvent]

  /// Lines of events for chrome://tracing and Perfetto, in microseconds since ``origin``: a process for each rank, with
  /// threads for what it computes, waits for and sends.
  func lines(rank: Int, step: Int, offset: Double) -> [String] {
    func time(_ instant: ContinuousClock.Instant) -> Double {
      offset + ((instant - origin) / .microseconds(1)).rounded()
    }
    func line(
      _ thread: Int, _ name: String, _ category: String, _ start: ContinuousClock.Instant,
      _ end: ContinuousClock.Instant, _ arguments: [String]
    ) -> String {
      TraceText.span(
        name, category: category, start: time(start), duration: max(0, time(end) - time(start)),
        process: rank, thread: thread, arguments: ["\"step\": \(step)"] + arguments)
    }
    let threads = ["compute", "wait", "send"].enumerated().map { thread, name in
      TraceText.thread(thread, ofProcess: rank, name: name)
    }
    return [TraceText.process(rank, name: "rank \(rank)")] + threads
      + computed.map { line(0, $0.name, "compute", $0.start, $0.end, []) }
      + messages.map { message in
        line(
          message.what == .waited ? 1 : 2, "\(message.purpose)", "\(message.purpose.kind)", message.start,
          message.end, ["\"peer\": \(message.peer)", "\"bytes\": \(message.bytes)"])
      }
  }
}
