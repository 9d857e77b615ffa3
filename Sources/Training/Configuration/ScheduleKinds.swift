internal import Model
internal import Optimization

/// The forms in which schedules are written.
enum ScheduleKinds {
  /// `512`, or `{from: 3072, to: 15360, over_tokens: 469B}`.
  static let batch: ValueKind<BatchRamp> = ValueKind.section(rampSchema).or(
    scalar: sequences.map(to: BatchRamp.constant, from: \.to),
    isScalar: { $0.overTokens == 0 && $0.from == $0.to })

  private static let sequences = ValueKind.integer(1...(1 << 22))

  private static let rampSchema = Schema<BatchRamp>(
    initial: BatchRamp(from: 1, to: 1, overTokens: 1),
    fields: [
      .init("from", \.from, sequences, unit: "sequences", required: .always, "size at the start"),
      .init("to", \.to, sequences, unit: "sequences", required: .always, "size at the end of the ramp"),
      .init("over_tokens", \.overTokens, .tokens, unit: "tokens", required: .always, "length of the ramp"),
    ],
    rules: [
      .init("over_tokens") {
        $0.overTokens > 0 || $0.from == $0.to
          ? nil
          : "over_tokens (0) leaves no ramp from \($0.from) to \($0.to); for a constant size write the number"
      }
    ])

  /// `0.3`, or `[{until_tokens: 10T, value: 0.3}, {value: 0.1}]`.
  static let byTokens: ValueKind<TokenSchedule> = {
    let number = ValueKind<Double>.float(.notNegative)
    let steps = ValueKind.section(StepKeys.schema).list()
    return ValueKind(
      "\(number.name), or a list of steps", rows: steps.rows,
      read: { node, reading in
        guard case .sequence = node.content else {
          return number.read(node, &reading).map { TokenSchedule(final: $0) }
        }
        let count = reading.faults.count
        guard let keys = steps.read(node, &reading), reading.faults.count == count else { return nil }
        return schedule(keys, at: node, &reading)
      },
      write: { schedule in
        if schedule.steps.isEmpty { return number.write(schedule.final) }
        let bounded = schedule.steps.map { StepKeys(untilTokens: $0.untilTokens, value: $0.value) }
        return steps.write(bounded + [StepKeys(untilTokens: nil, value: schedule.final)])
      })
  }()

  private struct StepKeys {
    var untilTokens: Int?
    var value: Double

    static let schema = Schema<StepKeys>(
      initial: StepKeys(untilTokens: nil, value: 0),
      fields: [
        .init(
          "until_tokens", \.untilTokens, ValueKind.someTokens.optional(), unit: "tokens",
          "where the value ends; absent in the last step only"),
        .init("value", \.value, .float(.notNegative), required: .always, "the value until then"),
      ], isCompact: true)
  }

  private static func schedule(
    _ keys: [StepKeys], at node: ConfigurationNode, _ reading: inout ConfigurationReading
  ) -> TokenSchedule? {
    guard let last = keys.last, last.untilTokens == nil else {
      reading.fault(at: node.location, "the last step must have a value and no until_tokens")
      return nil
    }
    let steps = keys.dropLast().compactMap { step in
      step.untilTokens.map { TokenSchedule.Step(untilTokens: $0, value: step.value) }
    }
    let ends = steps.map(\.untilTokens)
    guard steps.count == keys.count - 1, zip(ends, ends.dropFirst()).allSatisfy({ $0 < $1 }) else {
      reading.fault(
        at: node.location, "every step but the last needs until_tokens, greater than the one before")
      return nil
    }
    return TokenSchedule(steps: steps, final: last.value)
  }
}
