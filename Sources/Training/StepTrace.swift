internal import Communication
internal import Data

extension Trainer {
  /// Begins to record the next step, if its timeline is asked for.
  /// - Returns: when all ranks began; nil where nothing is recorded.
  func startTrace() -> ContinuousClock.Instant? {
    guard let steps = configuration.logging.trace, steps.contains(state.step + 1) else { return nil }
    // The ranks leave a barrier together, as far as messages are fast: clocks of nodes have nothing else in common.
    ranks?.barrier()
    ranks?.grid.world.startRecording()
    return .now
  }

  /// Brings together what the ranks recorded, and writes it. A file that cannot be written ends no run.
  func stopTrace(_ step: SummedStep, _ origin: ContinuousClock.Instant, _ recorder: RunRecorder?) {
    let end = ContinuousClock.now
    let update = step.sums.timeline.last.map { StepTimeline.Event("update", $0.end, end) }
    let timeline = StepTimeline(
      origin: origin, computed: step.sums.timeline + [update].compactMap { $0 },
      messages: ranks?.grid.world.stopRecording() ?? [])
    let rank = ranks?.grid.world.rank ?? 0
    let lines = timeline.lines(rank: rank, step: state.step, offset: trace.end)
    let microseconds = (end - origin) / .microseconds(1)
    let longest = ranks?.reduce([microseconds], .maximum)[0] ?? microseconds
    let all = ranks?.texts(lines.joined(separator: "\n")) ?? [lines.joined(separator: "\n")]
    do {
      let parts = all.map { $0.split(separator: "\n").map(String.init) }
      try trace.add(parts, microseconds: longest, writes: rank == 0)
    } catch {
      recorder?.note("no timeline of step \(state.step): \(error)")
    }
  }
}
