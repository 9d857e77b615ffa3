internal import Model

/// The `checkpoint` section.
package struct CheckpointSection: Sendable, Hashable {
  /// Steps; nil for none but the last.
  package var every: Int? = 1000
  /// nil for all.
  package var keep: Int? = 3
  /// nil for `checkpoints` in the run directory.
  package var directory: String?
  package var onExit = true
  package var asynchronous = true
  package var whenBusy = WhenBusy.wait
  package var onFailure = OnFailure.stop
  package var signalExitCode = 0

  package init() {}

  /// Whether a copy of the state is written while training goes on.
  package var savesInBackground: Bool { asynchronous && every != nil }

  /// What becomes of a save that is due while one is being written.
  package enum WhenBusy: String, Sendable, CaseIterable { case wait, skip }

  /// What a save that fails does to the run.
  package enum OnFailure: String, Sendable, CaseIterable {
    case stop
    case goOn = "go_on"
  }

  static let schema = Schema<CheckpointSection>(
    initial: CheckpointSection(),
    fields: [
      .init(
        "every", \.every, ValueKind.integer(1...).optional(), unit: "steps", "between checkpoints; null: none"
      ),
      .init(
        "keep", \.keep, ValueKind.integer(1...).optional(), "newest checkpoints that are kept; null: all"),
      .init(
        "directory", \.directory, ValueKind.string.optional(), "null: `checkpoints` in the run directory"),
      .init(
        "on_exit", \.onExit, .bool, "also at the end of the run and on Ctrl-C or SIGTERM"),
      .init(
        "asynchronous", \.asynchronous, .bool,
        "a copy of the state is written while training goes on; it takes as much memory as the checkpoint's file"
      ),
      .init(
        "when_busy", \.whenBusy, .choice(WhenBusy.self),
        "what to do when a checkpoint is due while one is being written: wait for that, or skip the new one"),
      .init(
        "on_failure", \.onFailure, .choice(OnFailure.self),
        "what to do when a checkpoint cannot be saved: stop the run, or say so and go on; the one at the end must not "
          + "fail"),
      .init(
        "signal_exit_code", \.signalExitCode, .integer(0...125),
        "of a run that was stopped by Ctrl-C, SIGTERM or SIGUSR1 and has saved, for schedulers that queue a job again by "
          + "its code; `launch/slurm.sbatch` needs 0"),
    ])
}

/// The `evaluation` section.
package struct EvaluationSection: Sendable, Hashable {
  /// Steps; nil for never.
  package var every: Int?
  /// nil for all.
  package var maxTokens: Int?

  package init() {}

  static let schema = Schema<EvaluationSection>(
    initial: EvaluationSection(),
    fields: [
      .init(
        "every", \.every, ValueKind.integer(1...).optional(), unit: "steps",
        "between evaluations on the validation data; null: never"),
      .init(
        "max_tokens", \.maxTokens, ValueKind.tokens.optional("all"), unit: "tokens",
        "validation tokens of one evaluation"),
    ],
    rules: [
      .init("max_tokens") {
        $0.maxTokens == 0 ? "must be at least 1; to never evaluate, set every: null" : nil
      }
    ])
}

/// The `logging` section.
package struct LoggingSection: Sendable, Hashable {
  /// Steps.
  package var every = 10
  /// Steps whose timeline is written; nil for none.
  package var trace: ClosedRange<Int>?

  package init() {}

  private static let steps = ValueKind<ClosedRange<Int>>(
    "a step, or steps as in 5-8",
    read: { node, reading in
      if case .scalar(let text, _) = node.content {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        if let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, 1...last ~= first {
          return first...last
        }
      }
      reading.fault(at: node.location, "must be a step, or steps as in 5-8; found \(node.found)")
      return nil
    }, write: { .plain($0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)") })

  static let schema = Schema<LoggingSection>(
    initial: LoggingSection(),
    fields: [
      .init("every", \.every, .integer(1...), unit: "steps", "between lines of progress"),
      .init(
        "trace", \.trace, steps.optional(), unit: "steps",
        "whose timeline is written to trace.json, for Perfetto or chrome://tracing: what each rank computes, waits for "
          + "and sends; one number, or two as in 5-8; null: none"),
    ])
}

/// The `run` section.
package struct RunSection: Sendable, Hashable {
  package var directory = "runs"
  /// nil for the name of the configuration file without its extension.
  package var name: String?

  package init() {}

  static let schema = Schema<RunSection>(
    initial: RunSection(),
    fields: [
      .init("directory", \.directory, .string, "directory of all runs"),
      .init(
        "name", \.name, ValueKind.string.optional(),
        "the run's own directory inside it; null: the configuration file's name"),
    ],
    rules: [
      .init("name") {
        guard let name = $0.name, name.contains("/") || name == "." || name == ".." else { return nil }
        return "'\(name)' is no name of a directory; put the path into run.directory"
      }
    ])
}
