internal import Autograd
internal import Model
internal import Tensors
internal import Training

/// Everything that `hadal bench step` prints.
struct StepReport: Encodable {
  let machine = Machine()
  let threads: Int
  let level, precision: String
  let parameters: Int
  /// Of one step.
  let tokens: Int
  /// Medians of the measured steps.
  let stepSeconds, tokensPerSecond: Double
  /// Resident memory of the process at its most, the profiled steps included.
  let peakMemoryBytes: Int
  /// Of a micro-batch, from its forward to its backward pass.
  let activationBytes: Int
  let steps: [MeasuredStep]
  /// nil when no step was profiled.
  let breakdown: StepBreakdown?

  init(_ trainer: Trainer, _ steps: [MeasuredStep], _ breakdown: StepBreakdown?) {
    let model = trainer.model
    (threads, level) = (model.device.workers.threads, model.device.level)
    precision = trainer.configuration.precision.mode.rawValue
    parameters = model.parameters.reduce(0) { $0 + $1.master.count }
    tokens = steps.last?.tokens ?? 0
    stepSeconds = Stopwatch.median(steps.map(\.seconds))
    tokensPerSecond = Stopwatch.median(steps.map { Double($0.tokens) / $0.seconds })
    peakMemoryBytes = Training.peakMemoryBytes()
    activationBytes = trainer.activationBytes()
    (self.steps, self.breakdown) = (steps, breakdown)
  }

  var text: String {
    let seconds = steps.map(\.seconds)
    let lines = [
      "\(machine.processor), cores: \(machine.cores), threads: \(threads), level: \(level), \(precision)",
      "\(parameters) parameters, \(tokens) tokens a step",
      "step: \((1e3 * stepSeconds).text(1)) ms, median of \(steps.count) "
        + "(\((1e3 * (seconds.min() ?? 0)).text(1)) to \((1e3 * (seconds.max() ?? 0)).text(1)))",
      "tokens/s: \(tokensPerSecond.text(0))", "peak memory: \(ProgressText.memory(bytes: peakMemoryBytes))",
      "activations of a micro-batch: \(ProgressText.memory(bytes: activationBytes))",
      "allocations from the system, each step: " + counts(\.systemAllocations),
      "minor page faults, each step: " + counts(\.minorPageFaults),
      "major page faults, each step: " + counts(\.majorPageFaults),
    ]
    return lines.joined(separator: "\n") + (breakdown.map { "\n\n\($0.text)" } ?? "")
  }

  private func counts(_ count: (MeasuredStep) -> Int) -> String {
    steps.map { "\(count($0))" }.joined(separator: " ")
  }
}
