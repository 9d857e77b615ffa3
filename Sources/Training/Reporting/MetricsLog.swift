/// `metrics.jsonl`: one JSON object a line for each step, each evaluation, each look at FP8 and each roll back.
///
/// A line is handed to the system when it is appended, whole or not at all.
package final class MetricsLog {
  private var file: AppendingFile

  package var path: String { file.path }

  /// Opens the log of a run that continues after `step`.
  ///
  /// Records of later steps are removed, so that the file always tells one history; so is what a crash left
  /// at the end of the file. `step` 0 starts a new history: nothing is kept.
  /// - Throws: `ReportingError` when the file cannot be read or written, or a line that is no record is
  ///   followed by records; the file is then unchanged.
  package init(path: String, resumingAt step: Int) throws(ReportingError) {
    precondition(step >= 0, "step \(step) is negative")
    if step > 0 { try MetricsHistory.rewind(path, to: step) }
    file = try AppendingFile(path, existing: step > 0 ? .kept : .emptied)
  }

  /// Takes the log back to the end of `step`; the records of roll backs stay, since nothing is done again that they tell.
  ///
  /// - Throws: `ReportingError`; nothing is removed then.
  package func rollBack(to step: Int) throws(ReportingError) {
    try MetricsHistory.rewind(path, to: step, keeping: RollBackMetrics.kind)
    // The new content is another file under the same name.
    file = try AppendingFile(path, existing: .kept)
  }

  /// - Throws: `ReportingError`, for instance when the disk is full; no part of the line is then in the file.
  package func append(_ record: some MetricsRecord) throws(ReportingError) {
    try file.append((JSONLine.text(of: record) + "\n").utf8)
  }
}
