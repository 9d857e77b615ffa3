internal import Checkpoint
internal import Data
internal import Foundation
internal import Model
package import Optimization
internal import Tensors

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
  /// - Throws: `TrainingError.nonFinite`, with nothing updated; `CheckpointError` when saving fails (earlier checkpoints
  ///   are untouched); `ReportingError`.
  package func run(_ recorder: RunRecorder, stop: borrowing StopSignal) throws -> RunSummary {
    var summary = RunSummary(state: state)
    let total = configuration.totalSteps()
    let schedule = configuration.learningRateSchedule()
    notes.forEach(recorder.note)
    if state.step >= total {
      recorder.note("the run is complete: step \(state.step) of \(total); a greater training.steps goes on")
    }
    let start = state.step
    var saved = start
    while state.step < total {
      if let signal = stop.requested {
        summary.stoppedBy = signal
        break
      }
      let metrics = try step(schedule)
      do {
        try recorder.record(metrics)
      } catch {
        // The checkpoints may be on another disk than the metrics: what has been trained is not lost.
        if state.step != saved { summary.checkpoint = try save(recorder) }
        throw error
      }
      if isDue(configuration.evaluation.every), state.step < total {
        summary.evaluation = try evaluate(recorder)
      }
      if isDue(configuration.checkpoint.every) {
        summary.checkpoint = try save(recorder)
        saved = state.step
      }
    }
    if configuration.checkpoint.onExit, saved != state.step { summary.checkpoint = try save(recorder) }
    if summary.stoppedBy == nil, state.step > start, configuration.evaluation.every != nil {
      summary.evaluation = try evaluate(recorder)
    }
    summary.state = state
    return summary
  }

  private func isDue(_ every: Int?) -> Bool { every.map { state.step.isMultiple(of: $0) } ?? false }

  /// One optimizer step: micro-batches, guards, update, bias update. Nothing is written.
  ///
  /// - Throws: `TrainingError.nonFinite`, with nothing updated.
  package func step(_ schedule: LearningRateSchedule) throws -> StepMetrics {
    let begin = ContinuousClock.now
    let (section, clock) = (configuration.training, configuration.clock())
    let sequences = clock.batch.size(tokens: state.tokens, multiple: clock.multiple)
    let (first, size, source) = (state.nextSample, section.microBatchSize, source)
    let batches = (0..<sequences / size).lazy.map { source.microBatch(first: first + $0 * size, count: size) }
    let (weight, speed) = (
      section.mtpLossWeight.value(tokens: state.tokens), section.biasUpdateSpeed.value(tokens: state.tokens)
    )
    let profiler = model.device.profiler
    profiler?.scope = "optimizer"
    optimizer.clearGradients()
    let sums = runner.run(batches, multiTokenWeight: weight)
    profiler?.scope = "optimizer"
    let norm = optimizer.gradientNorm()
    guard sums.total.isFinite, norm.isFinite else { throw nonFinite(sums, norm, batches) }
    let tokens = state.tokens + sequences * section.sequenceLength
    let rate = schedule.value(step: state.step + 1, tokens: tokens)
    optimizer.update(learningRate: rate, norm: norm, step: state.step + 1)
    model.updateBiases(loads: sums.loads, speed: Float(speed))
    state.step += 1
    state.tokens = tokens
    state.nextSample += sequences
    let seconds = (ContinuousClock.now - begin) / .seconds(1)
    return metrics(sums, norm: norm, rate: rate, sequences: sequences, seconds: seconds, weight, speed)
  }

  private func metrics(
    _ sums: StepSums, norm: Double, rate: Double, sequences: Int, seconds: Double, _ weight: Double,
    _ speed: Double
  ) -> StepMetrics {
    let hasBias = model.configuration.hasRouterBias
    return StepMetrics(
      step: state.step, tokens: state.tokens,
      epoch: source.samplesPerEpoch.map { Double(state.nextSample) / Double($0) } ?? 0, sequences: sequences,
      losses: .init(
        total: sums.total, main: sums.mainLoss, mtp: sums.multiTokenLosses, balance: sums.losses.balance),
      gradientNorm: norm, clipCoefficient: optimizer.clipCoefficient(norm: norm), learningRate: rate,
      mtpWeight: model.predictors.isEmpty ? nil : weight,
      biasUpdateSpeed: model.buffers.isEmpty ? nil : speed, stepSeconds: seconds,
      tokensPerSecond: Double(sequences * configuration.training.sequenceLength) / seconds,
      peakMemoryBytes: peakMemoryBytes(),
      layers: model.expertLayers.compactMap { experts in
        sums.loads[experts.layer].map {
          LayerLoad(layer: experts.layer, counts: $0, bias: hasBias ? Array(experts.bias.floats) : [])
        }
      })
  }

  /// Looks for where it began: weights, then activations, then gradients.
  private func nonFinite(
    _ sums: StepSums, _ norm: Double, _ batches: some Collection<MicroBatch>
  ) -> TrainingError {
    let weight = model.namedTensors.first { $0.tensor.firstNonFinite() != nil }.map { "weight \($0.name)" }
    let tensor =
      weight ?? runner.firstNonFiniteActivation(batches)
      ?? optimizer.firstNonFiniteGradient().map { "gradient of \($0)" }
    // Without the sign of a NaN, which means nothing.
    let text = { (value: Double) in value.isNaN ? "NaN" : "\(value)" }
    let what = sums.total.isFinite ? "the gradient norm (\(text(norm)))" : "the loss (\(text(sums.total)))"
    return .nonFinite(step: state.step + 1, what: what, tensor: tensor ?? "a logit of the output head")
  }

  private func evaluate(_ recorder: RunRecorder) throws -> EvaluationResult? {
    guard let validation = data.validation else { return nil }
    let begin = ContinuousClock.now
    let section = configuration.training
    let evaluator = Evaluator(
      model, validation, sequenceLength: section.sequenceLength, batch: section.microBatchSize,
      boundaries: section.documentBoundaries)
    let result = evaluator.run(maxTokens: configuration.evaluation.maxTokens)
    try recorder.record(
      EvaluationMetrics(
        step: state.step, tokens: state.tokens, loss: result.loss, mtpLosses: result.multiTokenLosses,
        bytesPerToken: result.bytes / Double(result.tokens), evaluatedTokens: result.tokens,
        seconds: (ContinuousClock.now - begin) / .seconds(1)))
    return result
  }

  private func save(_ recorder: RunRecorder) throws -> String {
    let saved = try RunCheckpoint(model, optimizer, identity).save(
      state, configuration: configuration.yaml(), to: store)
    recorder.note("saved \(saved.path) (\(ProgressText.memory(bytes: saved.length)))")
    for leftover in saved.leftovers { recorder.note("could not remove an old checkpoint: \(leftover)") }
    return saved.path
  }
}

/// The most memory that the process has had resident, in bytes.
package func peakMemoryBytes() -> Int {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage.ru_maxrss * 1024
}
