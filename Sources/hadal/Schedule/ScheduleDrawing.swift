internal import Pipeline

/// The timeline as an SVG document that needs nothing else: time goes right, a row is a rank.
struct ScheduleDrawing {
  private enum Layout {
    static let rowHeight = 26.0, barHeight = 22.0
    static let left = 70.0, right = 170.0, top = 92.0
    /// Of the shortest action, so that its cell can be read.
    static let shortest = 26.0
    static let widths = 900.0...30_000
    static let characterWidth = 6.2
  }

  /// Class and color of what is drawn.
  private static let colors: [(name: String, title: String, color: String)] = [
    ("f", "forward", "#9ecae9"), ("b", "backward", "#8bc98b"), ("i", "input gradient", "#cfe8a9"),
    ("w", "weight gradient", "#f5c184"),
  ]

  private let report: ScheduleReport
  /// Pixels of a second.
  private let scale: Double

  init(_ report: ScheduleReport) {
    self.report = report
    let makespan = report.timeline.makespan
    let shortest = report.timeline.spans.joined().map { $0.end - $0.start }.filter { $0 > 0 }.min() ?? 1
    let wanted = makespan / shortest * Layout.shortest
    let width = min(max(wanted, Layout.widths.lowerBound), Layout.widths.upperBound)
    scale = makespan > 0 ? width / makespan : 0
  }

  var svg: String {
    let width = Layout.left + report.timeline.makespan * scale + Layout.right
    let bottom = Layout.top + Double(report.schedule.ranks) * Layout.rowHeight
    var lines = [
      """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(width.pixels)" height="\((bottom + 30).pixels)" \
      viewBox="0 0 \(width.pixels) \((bottom + 30).pixels)" font-family="sans-serif" font-size="11">
      """,
      "<title>\(report.schedule.name.xmlText)</title>", style,
      #"<rect width="100%" height="100%" fill="white"/>"#,
    ]
    for (index, line) in report.head.prefix(3).enumerated() {
      lines.append(text(10, 18 + 16 * Double(index), line, size: index == 0 ? 14 : 11))
    }
    lines += legend
    for rank in 0..<report.schedule.ranks { lines += row(rank) }
    lines += axis(bottom)
    return lines.joined(separator: "\n") + "\n</svg>\n"
  }

  private var style: String {
    let fills = Self.colors.map { ".\($0.name){fill:\($0.color)}" }.joined()
    return "<style>\(fills).f,.b,.i,.w{stroke:#555555;stroke-width:0.5}"
      + ".idle{fill:#f0f0f0}.m{text-anchor:middle}.e{text-anchor:end}</style>"
  }

  private var legend: [String] {
    var lines: [String] = []
    var x = 10.0
    for (name, title, _) in Self.colors + [("idle", "idle", "")] {
      lines.append(rectangle(name, x, 62, 14, 14))
      lines.append(text(x + 19, 73, title))
      x += 40 + Double(title.count) * Layout.characterWidth
    }
    lines.append(text(x, 73, "two halves: an overlapped pair; numbers: slot.micro-batch"))
    return lines
  }

  private func row(_ rank: Int) -> [String] {
    let y = Layout.top + Double(rank) * Layout.rowHeight
    let timeline = report.timeline
    let end = Layout.left + timeline.makespan * scale
    var lines = [
      text(Layout.left - 8, y + 15, "rank \(rank)", class: "e"),
      rectangle("idle", Layout.left, y, timeline.makespan * scale, Layout.barHeight),
    ]
    for (action, span) in zip(report.schedule.lanes[rank], timeline.spans[rank]) {
      lines.append(bar(action, span, y))
    }
    let bubble = timeline.bubble[rank].figure
    return lines + [text(end + 8, y + 15, "bubble \(bubble), peak \(timeline.peakActivations[rank])")]
  }

  private func bar(_ action: Action, _ span: Timeline.Span, _ y: Double) -> String {
    let (x, width) = (Layout.left + span.start * scale, (span.end - span.start) * scale)
    let parts: [(name: String, cell: Cell)] =
      switch action {
      case .forward(let cell): [("f", cell)]
      case .backward(let cell): [("b", cell)]
      case .inputGradient(let cell): [("i", cell)]
      case .weightGradient(let cell): [("w", cell)]
      case .overlapped(let forward, let backward): [("f", forward), ("b", backward)]
      }
    let height = Layout.barHeight / Double(parts.count)
    var line = "<g><title>\(action.description.xmlText) \(span.start.figure) to \(span.end.figure) s</title>"
    for (index, part) in parts.enumerated() {
      let top = y + height * Double(index)
      line += rectangle(part.name, x, top, width, height)
      let label = part.cell.description
      if Double(label.count) * Layout.characterWidth <= width {
        line += text(x + width / 2, top + height / 2 + 4, label, class: "m")
      }
    }
    return line + "</g>"
  }

  private func axis(_ y: Double) -> [String] {
    let (makespan, ticks) = (report.timeline.makespan, 10)
    guard makespan > 0 else { return [] }
    return (0...ticks).map { tick in
      let time = makespan * Double(tick) / Double(ticks)
      return text(Layout.left + time * scale, y + 16, "\(time.figure) s", class: "m")
    }
  }

  private func rectangle(_ name: String, _ x: Double, _ y: Double, _ width: Double, _ height: Double)
    -> String
  {
    #"<rect class="\#(name)" x="\#(x.pixels)" y="\#(y.pixels)" "#
      + #"width="\#(width.pixels)" height="\#(height.pixels)"/>"#
  }

  private func text(
    _ x: Double, _ y: Double, _ words: String, size: Int? = nil, class name: String? = nil
  ) -> String {
    let size = size.map { " font-size=\"\($0)\"" } ?? ""
    let name = name.map { " class=\"\($0)\"" } ?? ""
    return "<text x=\"\(x.pixels)\" y=\"\(y.pixels)\"\(size)\(name)>\(words.xmlText)</text>"
  }
}

extension Double {
  fileprivate var pixels: String { ((self * 100).rounded() / 100).figure }
}

extension String {
  fileprivate var xmlText: String {
    var text = ""
    for character in self {
      switch character {
      case "&": text += "&amp;"
      case "<": text += "&lt;"
      case ">": text += "&gt;"
      default: text.append(character)
      }
    }
    return text
  }
}
