extension Schedule {
  /// The schedule as a text file that ``read(path:)`` takes.
  ///
  ///     schedule NAME
  ///     ranks P
  ///     microbatches M
  ///     route 0.0 1.0 …       the places, RANK.SLOT, that micro-batches pass, stage 0 first; a line a route
  ///     rank 0: F0.0 F0.1 …   tokens of ``Action``; a line with an indent goes on
  ///
  /// Lines may come in any order, but `ranks` before the lanes. From `#` to the end of a line is a comment.
  package var fileText: String {
    var lines = ["schedule \(name)", "ranks \(ranks)", "microbatches \(microbatches)"]
    lines += placement.routes.map { Self.wrapped("route", $0.map(\.description), isBroken: false) }
    lines += lanes.enumerated().map { Self.wrapped("rank \($0):", $1.map(\.description), isBroken: true) }
    return lines.joined(separator: "\n") + "\n"
  }

  /// - Parameter isBroken: into lines of about 100 characters.
  private static func wrapped(_ head: String, _ words: [String], isBroken: Bool) -> String {
    var text = head
    var width = head.count
    for word in words {
      if isBroken, width + 1 + word.count > 100 {
        text += "\n "
        width = 1
      }
      text += " " + word
      width += 1 + word.count
    }
    return text
  }
}

extension Schedule: CustomStringConvertible {
  package var description: String { fileText }
}
