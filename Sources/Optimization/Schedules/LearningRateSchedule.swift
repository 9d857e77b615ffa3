internal import Foundation

/// The learning rate as a list of phases, each beginning where the one before it ends.
///
/// A position is a pair (steps, tokens), both counted *with* the update that the rate is for: the first
/// update of a run is at step 1. A phase holds up to and including its end, and after the last phase its
/// last value holds.
package struct LearningRateSchedule: Sendable, Hashable {
  package enum Shape: String, Sendable, CaseIterable {
    case linear, constant, cosine
  }

  /// Where a phase ends, in the unit in which it is measured.
  package enum End: Sendable, Hashable, CustomStringConvertible {
    case step(Int)
    case tokens(Int)

    package var description: String {
      switch self {
      case .step(let step): "step \(step)"
      case .tokens(let tokens): "\(tokens) tokens"
      }
    }
  }

  package struct Phase: Sendable, Hashable {
    package var shape: Shape
    /// nil for the value at which the phase before ends; for the first phase 0.
    package var from: Double?
    /// nil for `from`, which only a constant phase can mean.
    package var to: Double?
    /// nil in the last phase, for the end of the run.
    package var end: End?

    package init(_ shape: Shape, from: Double? = nil, to: Double? = nil, end: End? = nil) {
      self.shape = shape
      self.from = from
      self.to = to
      self.end = end
    }
  }

  private struct Segment: Hashable {
    let shape: Shape
    let from, to: Double
    /// Both in the unit of `end`.
    let start: Int
    let end: End

    /// - Parameter fraction: 0 at the start, 1 at the end.
    func value(at fraction: Double) -> Double {
      switch shape {
      case .constant: to
      case .linear: from + (to - from) * fraction
      case .cosine: to + (from - to) * 0.5 * (1 + cos(.pi * fraction))
      }
    }
  }

  private let segments: [Segment]

  /// - Parameters:
  ///   - clock: converts the end of one phase to the unit of the next.
  ///   - runEnd: the end of the last phase, if that names none.
  package init(phases: [Phase], clock: TrainingClock, runEnd: End) {
    precondition(!phases.isEmpty, "a learning-rate schedule needs at least one phase")
    var segments: [Segment] = []
    for (index, phase) in phases.enumerated() {
      precondition(
        phase.end != nil || index == phases.count - 1, "phase \(index) has no end, and is not the last")
      let end = phase.end ?? runEnd
      let last = segments.last
      let from = phase.from ?? last?.to ?? 0
      let to = phase.to ?? from
      segments.append(
        Segment(
          shape: phase.shape, from: phase.shape == .constant ? to : from, to: to,
          start: last.map { Self.position(of: $0.end, like: end, clock) } ?? 0, end: end))
    }
    self.segments = segments
  }

  /// A position in the unit of another.
  private static func position(of end: End, like other: End, _ clock: TrainingClock) -> Int {
    switch (end, other) {
    case (.step(let step), .step): step
    case (.tokens(let tokens), .tokens): tokens
    case (.step(let step), .tokens): clock.tokens(afterSteps: step)
    case (.tokens(let tokens), .step): clock.steps(reaching: tokens)
    }
  }

  /// The rate of the update with which `step` steps and `tokens` tokens are done.
  package func value(step: Int, tokens: Int) -> Double {
    for segment in segments {
      let (now, end) =
        switch segment.end {
        case .step(let end): (step, end)
        case .tokens(let end): (tokens, end)
        }
      guard now <= end else { continue }
      let length = Double(end) - Double(segment.start)
      guard length > 0 else { return segment.to }
      return segment.value(at: min(max((Double(now) - Double(segment.start)) / length, 0), 1))
    }
    return segments[segments.count - 1].to
  }
}

extension LearningRateSchedule.Phase {
  /// DeepSeek-V3's five phases. Source: arXiv 2412.19437, §4.2.
  package static let deepSeekV3: [LearningRateSchedule.Phase] = [
    .init(.linear, to: 2.2e-4, end: .step(2000)),
    .init(.constant, end: .tokens(10_000_000_000_000)),
    .init(.cosine, to: 2.2e-5, end: .tokens(14_300_000_000_000)),
    .init(.constant, end: .tokens(14_633_000_000_000)),
    .init(.constant, to: 7.3e-6, end: .tokens(14_800_000_000_000)),
  ]
}
