internal import Model
package import Optimization

/// The `learning_rate` section.
package struct LearningRateSection: Sendable, Hashable {
  package var phases = LearningRateSchedule.Phase.deepSeekV3

  package init() {}

  static let schema = Schema<LearningRateSection>(
    initial: LearningRateSection(),
    fields: [
      .init(
        "phases", \.phases, phaseList,
        "one after the other, each from the rate at which the one before ends; the last rate holds")
    ])

  /// A list whose items are checked against each other when all of them could be read.
  private static let phaseList: ValueKind<[LearningRateSchedule.Phase]> = {
    let list = ValueKind.section(PhaseKeys.schema).list()
    return ValueKind(
      list.name, rows: list.rows,
      read: { node, reading in
        let count = reading.faults.count
        guard let keys = list.read(node, &reading), reading.faults.count == count else { return nil }
        check(keys, node, &reading)
        return reading.faults.count == count ? keys.map(\.phase) : nil
      }, write: { list.write($0.map(PhaseKeys.init)) })
  }()

  private static func check(
    _ phases: [PhaseKeys], _ node: ConfigurationNode, _ reading: inout ConfigurationReading
  ) {
    guard case .sequence(let items) = node.content, !phases.isEmpty else {
      reading.fault(at: node.location, "needs at least one phase")
      return
    }
    for (index, phase) in phases.enumerated() {
      let before = index > 0 ? phases[index - 1] : nil
      guard let message = fault(of: phase, after: before, isLast: index == phases.count - 1) else { continue }
      reading.fault(at: items[index].location, key: "\(index)", message)
    }
  }

  private static func fault(of phase: PhaseKeys, after before: PhaseKeys?, isLast: Bool) -> String? {
    if phase.to == nil, phase.shape != .constant {
      return "a \(phase.shape.rawValue) phase needs the key to: its rate at the end"
    }
    if phase.to == nil, phase.from == nil, before == nil {
      return "a constant phase that is the first needs the key to: its rate"
    }
    if phase.shape == .constant, let from = phase.from, let to = phase.to, from != to {
      return "a constant phase goes neither from \(from) nor to \(to); give only to"
    }
    switch (phase.untilStep, phase.untilTokens) {
    case (nil, nil):
      return isLast ? nil : "needs until_step or until_tokens; only the last phase may have none"
    case (.some, .some): return "has both until_step and until_tokens; write only one"
    case (let step?, nil):
      guard let last = before?.untilStep, last >= step else { return nil }
      return "until_step (\(step)) must be greater than that of the phase before (\(last))"
    case (nil, let tokens?):
      guard let last = before?.untilTokens, last >= tokens else { return nil }
      return "until_tokens (\(tokens)) must be greater than that of the phase before (\(last))"
    }
  }
}

/// A phase as it is written.
private struct PhaseKeys {
  var shape = LearningRateSchedule.Shape.constant
  var from: Double?
  var to: Double?
  var untilStep: Int?
  var untilTokens: Int?

  init() {}

  init(_ phase: LearningRateSchedule.Phase) {
    shape = phase.shape
    from = phase.from
    to = phase.to
    switch phase.end {
    case .step(let step): untilStep = step
    case .tokens(let tokens): untilTokens = tokens
    case nil: break
    }
  }

  var phase: LearningRateSchedule.Phase {
    let end = untilStep.map { LearningRateSchedule.End.step($0) } ?? untilTokens.map { .tokens($0) }
    return LearningRateSchedule.Phase(shape, from: from, to: to, end: end)
  }

  static let schema = Schema<PhaseKeys>(
    initial: PhaseKeys(),
    fields: [
      .init(
        "shape", \.shape, .choice(LearningRateSchedule.Shape.self), required: .always, "way to the rate `to`"),
      .init(
        "from", \.from, ValueKind.float(.notNegative).optional(),
        "rate at the start; absent: where the phase before ends, or 0"),
      .init(
        "to", \.to, ValueKind.float(.notNegative).optional(),
        "rate at the end; absent in a constant phase: as before"),
      .init(
        "until_step", \.untilStep, ValueKind.integer(1...1_000_000_000).optional(), "last step of the phase"),
      .init(
        "until_tokens", \.untilTokens, ValueKind.someTokens.optional(), unit: "tokens",
        "end of the phase; the last phase may name none, and ends with the run"),
    ], isCompact: true)
}
