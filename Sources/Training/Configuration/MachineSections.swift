internal import Model

/// The `precision` section.
package struct PrecisionSection: Sendable, Hashable {
  package var mode = Mode.bfloat16
  package var fp8 = Float8Section()

  package init(mode: Mode = .bfloat16) { self.mode = mode }

  /// The format in which matrices are multiplied; master weights are float32 in any case.
  package enum Mode: String, Sendable, CaseIterable {
    case float32, bfloat16, fp8
  }

  static let schema = Schema<PrecisionSection>(
    initial: PrecisionSection(),
    fields: [
      .init(
        "mode", \.mode,
        .choice(Mode.self, refusals: ["float16": "lacks the range for training"]),
        "format in which matrices are multiplied"),
      .init("fp8", \.fp8, .section(Float8Section.schema), "what mode fp8 does, and where"),
    ],
    rules: [
      .init("fp8", "mode") {
        $0.mode == .fp8 || $0.fp8 == Float8Section()
          ? nil : "has no effect while mode is \($0.mode.rawValue); set mode to fp8, or leave the section out"
      }
    ])
}

/// The `parallel` section. One process trains for now, so all it takes is 1.
package struct ParallelSection: Sendable, Hashable {
  package var pipeline: Int?
  package var expert: Int?
  package var data: Int?

  package init() {}

  static let schema = Schema<ParallelSection>(
    initial: ParallelSection(),
    fields: [
      .init("pipeline", \.pipeline, one.optional("auto"), "ranks of a pipeline"),
      .init("expert", \.expert, one.optional("auto"), "ranks that share the experts of a layer"),
      .init("data", \.data, one.optional("auto"), "copies of the pipeline"),
    ])

  private static let one = ValueKind<Int>(
    "only 1",
    read: { node, reading in
      guard node.content != .scalar("1", quoted: false) else { return 1 }
      reading.fault(
        at: node.location, "must be 1 or auto: this version trains in one process; found \(node.found)")
      return nil
    }, write: { .plain("\($0)") })
}
