internal import Autograd
internal import Checkpoint
internal import Communication
internal import Foundation
internal import Optimization

/// How a run ended.
package struct RunSummary: Sendable {
  package var state: RunState
  /// The last evaluation; nil when there was none.
  package var evaluation: EvaluationResult?
  /// The signal that ended the run early.
  package var stoppedBy: StopSignal.Signal?
  /// The last checkpoint; nil when none was written.
  package var checkpoint: String?
}

extension Trainer {
  /// Trains to the end of the run, or until a signal asks to stop.
  ///
  /// - Throws: `TrainingError.nonFinite` or `.lossSpike`, with nothing updated, where `training` says so; `CheckpointError`
  ///   when saving fails (earlier checkpoints are untouched), or reading back; `ReportingError`.
  /// - Parameter recorder: nil where another rank keeps the files of the run.
  package func run(_ recorder: RunRecorder?, stop: borrowing StopSignal) throws -> RunSummary {
    var summary = RunSummary(state: state)
    let total = configuration.totalSteps(shares: shares)
    for note in notes { recorder?.note(note) }
    if state.step >= total {
      recorder?.note("the run is complete: step \(state.step) of \(total); a greater training.steps goes on")
    }
    let (start, origin) = (state.step, lastSave.path)
    do { try train(to: total, recorder, stop, &summary) } catch let error as ReportingError {
      try rescue(recorder)
      throw error
    }
    settle()
    try finishSave(recorder)
    if configuration.checkpoint.onExit, lastSave.step != state.step { try saveNow(recorder) }
    // With on_failure: go_on the run has gone on without it, but has not ended well.
    if let failedSave { throw failedSave }
    summary.checkpoint = lastSave.path == origin ? nil : lastSave.path
    if summary.stoppedBy == nil, state.step > start, configuration.evaluation.every != nil {
      summary.evaluation = try evaluate(recorder)
    }
    summary.state = state
    return summary
  }

  /// - Throws: as ``run(_:stop:)``.
  private func train(
    to total: Int, _ recorder: RunRecorder?, _ stop: borrowing StopSignal, _ summary: inout RunSummary
  ) throws {
    while state.step < total {
      try pollSave(recorder)
      if let signal = agreed(stop.requested) {
        summary.stoppedBy = signal
        break
      }
      let monitor = nextMonitor()
      guard let metrics = try advance(recorder, monitor) else { continue }
      // Before anything is written: a checkpoint of this step must know what the next one is computed in.
      let health = monitor.map { watched($0, isSkipped: metrics.isSkipped) }
      try recorder?.record(metrics)
      if let health { try recorder?.record(health) }
      if isDue(configuration.evaluation.every), state.step < total {
        summary.evaluation = try evaluate(recorder)
      }
      if isDue(configuration.checkpoint.every) { try save(recorder) }
    }
  }

  /// Records cannot be written any more. The checkpoints may be on another disk than they: what has been trained is not
  /// lost. With several ranks the others know nothing of it, and end without a checkpoint.
  private func rescue(_ recorder: RunRecorder?) throws(CheckpointError) {
    guard ranks == nil else { return }
    try finishSave(recorder)
    if state.step != lastSave.step { try saveNow(recorder) }
  }

  /// The signal that any rank was sent: all of them stop after the same step.
  private func agreed(_ signal: StopSignal.Signal?) -> StopSignal.Signal? {
    guard let ranks else { return signal }
    let signals = StopSignal.Signal.allCases
    let own = signal.flatMap(signals.firstIndex) ?? -1
    let latest = Int(ranks.reduce([Double(own)], .maximum)[0])
    return latest < 0 ? nil : signals[latest]
  }

  private func isDue(_ every: Int?) -> Bool { every.map { state.step.isMultiple(of: $0) } ?? false }

  /// The next step, done or skipped; nil when the run was rolled back instead.
  private func advance(_ recorder: RunRecorder?, _ monitor: Float8Monitor?) throws -> StepMetrics? {
    let origin = startTrace()
    let step = sumGradients(monitor)
    defer { if let origin { stopTrace(step, origin, recorder) } }
    let verdict = verdict(step)
    switch verdict.action {
    case .update:
      if let spike = verdict.spike { recorder?.note("\(spike)") }
      return update(step)
    case .skip:
      // Ranks look for it together, also those without a recorder.
      let words = words(verdict, step)
      recorder?.note("\(words); the step is skipped")
      return skip(step)
    case .rollBack:
      try finishSave(recorder)
      let words = words(verdict, step)
      let metrics = try rollBack(step, because: verdict)
      let skipped = metrics.skippedSamples
      recorder?.note(
        "\(words); rolled back to \(lastSave.path ?? "the initial weights"), samples \(skipped.lowerBound) to "
          + "\(skipped.upperBound - 1) are passed over")
      try recorder?.record(metrics)
      return nil
    case .stop:
      try finishSave(recorder)
      throw failure(verdict, step)
    }
  }

  private func evaluate(_ recorder: RunRecorder?) throws -> EvaluationResult? {
    guard let validation = data.validation else { return nil }
    settle()
    let begin = ContinuousClock.now
    let section = configuration.training
    let evaluator = Evaluator(
      model, validation, sequenceLength: section.sequenceLength, batch: section.microBatchSize,
      boundaries: section.documentBoundaries, ranks: ranks)
    let result = evaluator.run(maxTokens: configuration.evaluation.maxTokens)
    try recorder?.record(
      EvaluationMetrics(
        step: state.step, tokens: state.tokens, loss: result.loss, mtpLosses: result.multiTokenLosses,
        bytesPerToken: result.bytes / Double(result.tokens), evaluatedTokens: result.tokens,
        seconds: (ContinuousClock.now - begin) / .seconds(1)))
    return result
  }
}

/// The most memory that the process has had resident, in bytes.
package func peakMemoryBytes() -> Int {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage.ru_maxrss * 1024
}
