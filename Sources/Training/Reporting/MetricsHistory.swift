internal import Foundation
internal import Glibc

/// What an earlier session left in `metrics.jsonl`.
enum MetricsHistory {
  /// What every record has; other keys are not looked at.
  private struct Record: Decodable {
    var kind: String
    var step: Int
  }

  /// Removes the records of steps after `step`, but for those of a kind to keep, and what a crash left behind the last
  /// record.
  ///
  /// The new content is written aside and renamed, so that the old one is there until the new one is whole. A
  /// file that needs no change is not touched; none at all is no error.
  /// - Throws: `ReportingError`; the file is then unchanged.
  static func rewind(_ path: String, to step: Int, keeping kind: String? = nil) throws(ReportingError) {
    guard let text = try contents(path) else { return }
    let kept = try lines(of: text, path: path) { $0.step <= step || $0.kind == kind }
    let length = kept.reduce(0) { $0 + $1.count + 1 }
    if length == text.count, text.last == lineFeed { return }
    try replace(path, with: kept)
  }

  private static let lineFeed = UInt8(ascii: "\n")

  /// nil when there is no such file.
  private static func contents(_ path: String) throws(ReportingError) -> Data? {
    guard access(path, F_OK) == 0 || errno != ENOENT else { return nil }
    let descriptor = try ReportingError.check("open for reading", path) { open(path, O_RDONLY | O_CLOEXEC) }
    defer { close(descriptor) }
    var content = Data()
    var piece = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = try ReportingError.check("read", path) { read(descriptor, &piece, piece.count) }
      if count == 0 { return content }
      content.append(contentsOf: piece.prefix(count))
    }
  }

  /// The lines to keep, without their line feeds.
  private static func lines(
    of text: Data, path: String, where isKept: (Record) -> Bool
  ) throws(ReportingError) -> [Data.SubSequence] {
    let decoder = JSONDecoder()
    var kept: [Data.SubSequence] = []
    var unreadable: Int?
    for (index, line) in text.split(separator: lineFeed, omittingEmptySubsequences: false).enumerated() {
      guard let record = try? decoder.decode(Record.self, from: Data(line)) else {
        unreadable = unreadable ?? index + 1
        continue
      }
      // A crash damages only the end of the file. Before a record, something else has happened.
      if let unreadable {
        throw ReportingError(
          kind: .malformed(line: unreadable), path: path,
          message: "line \(unreadable) is no record of metrics; repair the file or move it away")
      }
      if isKept(record) { kept.append(line) }
    }
    return kept
  }

  private static func replace(_ path: String, with lines: [Data.SubSequence]) throws(ReportingError) {
    let aside = "\(path).rewrite"
    do throws(ReportingError) {
      let file = try AppendingFile(aside, existing: .emptied)
      var piece: [UInt8] = []
      for line in lines {
        piece += line
        piece.append(lineFeed)
        if piece.count > 1 << 20 {
          try file.append(piece)
          piece.removeAll(keepingCapacity: true)
        }
      }
      try file.append(piece)
      try file.synchronize()
      try ReportingError.check("rename into place", path) { rename(aside, path) }
    } catch {
      unlink(aside)
      throw error
    }
  }
}
