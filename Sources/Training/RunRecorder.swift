internal import Foundation
internal import Glibc

/// Everything that a run writes about itself: `metrics.jsonl`, TensorBoard events, progress for a person.
package final class RunRecorder {
  private let log: MetricsLog
  private let board: TensorBoardWriter
  private let progress: ProgressReporter

  /// Makes the run directory and opens its files where the trainer stands.
  ///
  /// - Parameter descriptor: where progress is written.
  /// - Throws: `FileError`, `ReportingError`.
  package init(_ trainer: Trainer, progressTo descriptor: Int32 = STDERR_FILENO) throws {
    let directory = try RunDirectory(trainer).path
    let configuration = trainer.configuration
    log = try MetricsLog(path: "\(directory)/metrics.jsonl", resumingAt: trainer.state.step)
    board = try TensorBoardWriter(directory: directory, resumingAt: trainer.state.step)
    progress = ProgressReporter(
      descriptor: descriptor,
      steps: configuration.totalSteps(shares: trainer.shares), interval: configuration.logging.every,
      bytesPerToken: trainer.data.bytesPerToken)
  }

  package func note(_ text: String) { progress.note(text) }

  func record(_ metrics: StepMetrics) throws(ReportingError) {
    try log.append(metrics)
    try board.write(metrics)
    progress.update(metrics)
  }

  /// Takes the records back to the step that the run goes on from, and adds why.
  func record(_ metrics: RollBackMetrics) throws(ReportingError) {
    try log.rollBack(to: metrics.step - 1)
    try log.append(metrics)
    try board.forget(after: metrics.step - 1)
    try board.write(metrics)
  }

  func record(_ metrics: Float8Metrics) throws(ReportingError) {
    try log.append(metrics)
    try board.write(metrics)
    if let warning = metrics.warning { progress.note(warning) }
  }

  func record(_ metrics: EvaluationMetrics) throws(ReportingError) {
    try log.append(metrics)
    try board.write(metrics)
    progress.note(metrics.summary)
  }

  /// Says how the run ended.
  package func finish(_ summary: RunSummary) {
    progress.finish()
    if let signal = summary.stoppedBy {
      let saved = summary.checkpoint.map { "; the same command goes on from \($0)" } ?? ""
      progress.note("stopped by \(signal) after step \(summary.state.step)\(saved)")
    }
  }
}
