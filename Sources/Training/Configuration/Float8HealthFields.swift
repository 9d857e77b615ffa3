internal import Model

/// The keys of `precision.fp8` that watch over it.
extension Float8Section {
  /// What is done about a matrix that passes a limit.
  package enum FallBack: String, Sendable, CaseIterable {
    case off, warn
    case fallBack = "fall_back"
  }

  static let healthFields: [Schema<Float8Section>.Field] = [
    .init(
      "health_every", \.healthEvery, ValueKind.integer(1...).optional(), unit: "steps",
      "between records of what quantizing does, each with one product that is done in float32 too; null: none. No "
        + "bit of the result depends on it"),
    .init(
      "fall_back", \.fallBack, .choice(FallBack.self),
      "what follows when a matrix passes a limit in such a step: nothing, a note, or a note and bfloat16 for the "
        + "FP8 matrices of its layer from the next step on"),
    .init(
      "flushed_limit", \.flushedLimit, .float(.fraction),
      "share of an operand's elements that become zero and were not"),
    .init(
      "shadow_limit", \.shadowLimit, .float(.notNegative),
      "relative error of the product that is done twice"),
  ]

  static let healthRules: [Schema<Float8Section>.Rule] = [
    .init("fall_back", "health_every") {
      $0.fault(\.fallBack, needs: $0.healthEvery != nil, "a number of steps in health_every")
    },
    .init("flushed_limit", "fall_back") {
      $0.fault(\.flushedLimit, needs: $0.fallBack != .off, "warn or fall_back in fall_back")
    },
    .init("shadow_limit", "fall_back") {
      $0.fault(\.shadowLimit, needs: $0.fallBack != .off, "warn or fall_back in fall_back")
    },
  ]
}

extension PrecisionSection {
  /// Steps between those in which FP8 is watched; nil for none.
  package var healthEvery: Int? { mode == .fp8 ? fp8.healthEvery : nil }

  /// Whether layers may leave FP8 while the run goes on.
  package var fallsBack: Bool { mode == .fp8 && fp8.fallBack == .fallBack }
}
