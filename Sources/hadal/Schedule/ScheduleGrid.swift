internal import Pipeline

/// The timeline in characters: time goes down, a column is a rank, so that any number of micro-batches fits.
///
/// A line for each moment at which a rank begins something: the token where it does, `|` where an action goes
/// on, `.` where the rank is idle. The backward of a pair stands below its forward.
struct ScheduleGrid {
  private let report: ScheduleReport
  private let width: Int
  private let timeWidth: Int

  init(_ report: ScheduleReport) {
    self.report = report
    let tokens = report.schedule.lanes.joined().map { Self.parts($0).map(\.count).max() ?? 0 }
    width = max(tokens.max() ?? 0, "rank".count + "\(report.schedule.ranks)".count) + 1
    let times = report.timeline.spans.joined().map { $0.start.figure.count }
    timeWidth = max(times.max() ?? 0, "time".count)
  }

  var lines: [String] {
    let spans = report.timeline.spans
    var lines = [line("time", spans.indices.map { "rank\($0)" })]
    var next = spans.map { _ in 0 }
    while let time = firstStart(next) {
      var rows = [spans.map { _ in "" }, spans.map { _ in "" }]
      for rank in spans.indices {
        let begins = next[rank] < spans[rank].count && spans[rank][next[rank]].start <= time + rounding
        if begins { next[rank] += 1 }
        let isBusy = next[rank] > 0 && (begins || spans[rank][next[rank] - 1].end > time + rounding)
        let parts = begins ? Self.parts(report.schedule.lanes[rank][next[rank] - 1]) : []
        for row in rows.indices {
          rows[row][rank] = row < parts.count ? parts[row] : isBusy ? "|" : "."
        }
      }
      lines.append(line(time.figure, rows[0]))
      if rows[1].contains(where: { $0.hasPrefix("&") }) { lines.append(line("", rows[1])) }
    }
    return lines + [line(report.timeline.makespan.figure, [])]
  }

  /// Times that differ by less are the same moment, but for the order of sums.
  private var rounding: Double { report.timeline.makespan * 1e-12 }

  /// Of all ranks' next actions; nil at the end of all lanes.
  private func firstStart(_ next: [Int]) -> Double? {
    zip(report.timeline.spans, next).compactMap { $1 < $0.count ? $0[$1].start : nil }.min()
  }

  private static func parts(_ action: Action) -> [String] {
    switch action {
    case .overlapped(let forward, let backward): ["F\(forward)", "&B\(backward)"]
    case .forward, .backward, .inputGradient, .weightGradient: [action.description]
    }
  }

  private func line(_ time: String, _ cells: [String]) -> String {
    var text = String(repeating: " ", count: max(0, timeWidth - time.count)) + time + " "
    for (column, cell) in cells.enumerated() {
      let isLast = column == cells.count - 1
      text += " " + cell + (isLast ? "" : String(repeating: " ", count: width - cell.count - 1))
    }
    return cells.isEmpty ? String(text.dropLast()) : text
  }
}
