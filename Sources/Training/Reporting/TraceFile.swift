internal import Data

/// `trace.json` of a run: the timelines of the steps that `logging.trace` names, all ranks in one file.
package struct TraceFile {
  package let path: String
  private var lines: [String] = []
  /// Microseconds: where the next step begins.
  private(set) var end = 0.0

  package init(path: String) { self.path = path }

  /// Adds a step and writes the whole file anew.
  /// - Parameter writes: false on ranks that only keep the time.
  /// - Throws: `FileError`.
  mutating func add(_ ranks: [[String]], microseconds: Double, writes: Bool) throws(FileError) {
    // Steps stand beside each other with a little room.
    defer { end += microseconds * 1.05 }
    guard writes else { return }
    // Names of processes and threads are told once.
    let known = Set(lines.filter(TraceText.isName))
    lines += ranks.joined().filter { !known.contains($0) }
    let file = try AtomicFile(path)
    try file.write(TraceText.document(lines).utf8)
    try file.commit()
  }
}
