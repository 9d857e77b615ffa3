internal import ArgumentParser
internal import Foundation
internal import Model
internal import Tensors
internal import Training

/// `hadal bench step CONFIG.yaml`: whole training steps.
struct BenchStep: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "step", abstract: "The configured training step: time, memory, and where the time goes.",
    discussion: """
      Begins from initial weights, whatever the run directory holds, and writes nothing there. The time of a \
      step is the median of the measured steps, after the warm-up; where it goes is measured in further steps, \
      because that takes time itself. Bytes are those of operands and results, each once; GFLOP those of \
      products. Allocations (blocks that the memory pool took from the system) and page faults are counts of \
      each measured step, not estimates. On synthetic data the first loss must be that of a uniform guess.
      """)

  @OptionGroup var source: BenchedRun

  @Option(help: "Measured steps.") var steps = 10

  @Option(help: "Steps before those.") var warmup = 3

  @Option(help: "Steps after those, in which it is measured where the time goes.") var profiled = 3

  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    let least = [("--steps", steps, 1), ("--warmup", warmup, 1), ("--profiled", profiled, 0)]
    for (option, value, least) in least where value < least {
      throw OptionError(option: option, reason: "\(value) must be at least \(least)")
    }
    let trainer = try Trainer(source.load(), resume: .apart, device: ProcessDevice.request())
    let bench = StepBench(trainer)
    try bench.warmUp(warmup)
    let measured = try bench.measure(steps)
    let breakdown = try profiled > 0 ? bench.profile(profiled) : nil
    let report = StepReport(trainer, measured, breakdown)
    print(json ? try BenchJSON.text(report) : report.text)
  }
}

/// One measured step.
struct MeasuredStep: Encodable {
  let seconds, loss: Double
  let tokens: Int
  /// Blocks that the memory pool took from the system; page faults of the process, without and with reading from disk.
  let systemAllocations, minorPageFaults, majorPageFaults: Int
}

/// Runs steps of a trainer.
struct StepBench {
  private let trainer: Trainer

  init(_ trainer: Trainer) { self.trainer = trainer }

  /// - Throws: `StepError` when the first loss is not what initial weights give.
  func warmUp(_ steps: Int) throws {
    for step in 1...steps {
      let metrics = try trainer.step()
      guard step == 1 else { continue }
      let isSynthetic = trainer.configuration.data.synthetic
      let first = FirstLoss(trainer.model.configuration, tokens: metrics.tokens, isSynthetic: isSynthetic)
      try first.check(metrics.losses.main)
    }
  }

  func measure(_ steps: Int) throws -> [MeasuredStep] {
    let pool = trainer.model.device.pool
    return try (0..<steps).map { _ in
      let (before, blocks) = (PageFaults(), pool.systemAllocations)
      let metrics = try trainer.step()
      let (after, taken) = (PageFaults(), pool.systemAllocations - blocks)
      return MeasuredStep(
        seconds: metrics.stepSeconds, loss: metrics.losses.total,
        tokens: metrics.sequences * trainer.configuration.training.sequenceLength, systemAllocations: taken,
        minorPageFaults: after.minor - before.minor, majorPageFaults: after.major - before.major)
    }
  }

  func profile(_ steps: Int) throws -> StepBreakdown {
    let profiler = Profiler()
    trainer.model.device.profiler = profiler
    defer { trainer.model.device.profiler = nil }
    var seconds = 0.0
    for _ in 0..<steps { seconds += try trainer.step().stepSeconds }
    return StepBreakdown(profiler.entries, steps: steps, seconds: seconds)
  }
}

/// Page faults of the process so far, as the kernel counts them.
private struct PageFaults {
  let minor, major: Int

  init() {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    (minor, major) = (usage.ru_minflt, usage.ru_majflt)
  }
}
