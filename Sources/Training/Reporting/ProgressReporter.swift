internal import Glibc

/// Tells a person how a run goes on.
///
/// On a terminal, one line is rewritten in place after each step. Elsewhere (a pipe, a file), whole lines
/// without control characters come at intervals. What cannot be written is dropped: a run must not end
/// because nobody listens.
package final class ProgressReporter {
  private let descriptor: Int32
  private let terminal: Terminal
  private let steps: Int
  private let interval: Int
  private let bytesPerToken: Double?
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var pace = StepPace()
  /// The line that a terminal shows now, or the last one written elsewhere.
  private var line: ProgressLine?
  private var lineIsOpen = false

  /// - Parameters:
  ///   - descriptor: Where to write; it stays open.
  ///   - steps: The last step of the run.
  ///   - interval: Steps between lines where the output is no terminal.
  ///   - bytesPerToken: Bytes of text per token of the training data; nil leaves out the bits per byte.
  package init(
    descriptor: Int32 = STDERR_FILENO, steps: Int, interval: Int, bytesPerToken: Double?
  ) {
    precondition(interval > 0, "interval \(interval) is no number of steps")
    (self.descriptor, self.steps, self.interval) = (descriptor, steps, interval)
    self.bytesPerToken = bytesPerToken
    terminal = Terminal(descriptor)
    start = clock.now
  }

  deinit { finish() }

  /// Shows a step that is done. The first and the last step are always shown.
  package func update(_ metrics: StepMetrics) {
    let sinceStart = clock.now - start
    pace.add(seconds: metrics.stepSeconds, end: sinceStart / .seconds(1))
    let isFirst = line == nil
    let line = ProgressLine(
      step: metrics.step, steps: steps, loss: metrics.losses.total,
      bitsPerByte: bytesPerToken.map {
        EvaluationMetrics.bitsPerByte(nats: metrics.losses.main, bytesPerToken: $0)
      },
      tokensPerSecond: metrics.tokensPerSecond, learningRate: metrics.learningRate,
      secondsLeft: pace.secondsLeft(steps: steps - metrics.step), peakMemoryBytes: metrics.peakMemoryBytes)
    self.line = line
    if terminal.canRewrite {
      write(rewritten(line))
      lineIsOpen = true
    } else if isFirst || metrics.step.isMultiple(of: interval) || metrics.step == steps {
      write(line.text() + "\n")
    }
  }

  /// Writes a line of its own; on a terminal, above the progress.
  package func note(_ text: String) {
    guard lineIsOpen, let line else { return write(text + "\n") }
    write(Terminal.erase + text + "\n" + rewritten(line))
  }

  /// Ends the line on a terminal, so that what others write starts a new one.
  package func finish() {
    guard lineIsOpen else { return }
    lineIsOpen = false
    write("\n")
  }

  private func rewritten(_ line: ProgressLine) -> String {
    Terminal.erase + line.text(width: terminal.lineWidth)
  }

  private func write(_ text: String) {
    let bytes = Array(text.utf8)
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written)
      }
      guard count > 0 || errno == EINTR else { return }
      written += max(0, count)
    }
  }
}
