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

/// The `parallel` section: ranks = pipeline × data; expert divides data.
package struct ParallelSection: Sendable, Hashable {
  package var pipeline: Int?
  /// nil for the largest number that divides both the data ranks and the experts of a layer.
  package var expert: Int?
  /// nil for all ranks.
  package var data: Int?
  /// Whether a micro-batch goes forward while the one before it goes backward.
  package var overlap = true
  package var gradients = Gradients.float32
  package var exchange = Exchange.auto
  /// nil for twice what comes where all ranks get as many.
  package var exchangeRows: Int?

  package init() {}

  /// What gradients travel as; they are summed in float32.
  package enum Gradients: String, Sendable, CaseIterable { case float32, bfloat16 }

  /// How tokens reach experts on other nodes.
  package enum Exchange: String, Sendable, CaseIterable {
    case auto
    case oneLevel = "one_level"
    case twoLevel = "two_level"
  }

  static let schema = Schema<ParallelSection>(
    initial: ParallelSection(),
    fields: [
      .init("pipeline", \.pipeline, one.optional("auto"), "ranks of a pipeline"),
      .init(
        "expert", \.expert, ranks.optional("auto"),
        "ranks that share the experts of a layer; auto: the most that divide data and n_routed_experts"),
      .init(
        "data", \.data, ranks.optional("auto"), "ranks that share the batch; auto: as many as were started"),
      .init(
        "overlap", \.overlap, .bool,
        "with experts on several ranks, a micro-batch goes forward while the one before it goes backward, and the "
          + "computation of one hides the messages of the other; the bits are the same, memory is that of two"
      ),
      .init(
        "gradients", \.gradients, .choice(Gradients.self), "what gradients travel as; sums are in float32"),
      .init(
        "exchange", \.exchange, .choice(Exchange.self),
        "how tokens reach experts: one_level, straight to each rank; two_level, once to each node and on from there; "
          + "auto: two_level where the ranks that share experts are on several nodes, as many on each"),
      .init(
        "exchange_rows", \.exchangeRows, ValueKind<Int>.integer(1...).optional("auto"),
        "rows of tokens that may arrive at a rank at once: where experts are chosen so unevenly that more would, a "
          + "micro-batch goes in slices and is sent again for its gradients; auto: twice min(num_experts_per_tok, "
          + "expert) × its tokens"),
    ],
    rules: [
      .init("expert", "data") {
        guard let expert = $0.expert, let data = $0.data, !data.isMultiple(of: expert) else { return nil }
        return "expert (\(expert)) must divide data (\(data)): experts are spread over data-parallel ranks"
      }
    ])

  private static let ranks = ValueKind<Int>.integer(1...65536)

  private static let one = ValueKind<Int>(
    "only 1",
    read: { node, reading in
      guard node.content != .scalar("1", quoted: false) else { return 1 }
      reading.fault(
        at: node.location, "must be 1 or auto: this version has no pipelines; found \(node.found)")
      return nil
    }, write: { .plain("\($0)") })
}

/// The `communication` section.
package struct CommunicationSection: Sendable, Hashable {
  /// Seconds.
  package var timeout = 600.0

  package init() {}

  static let schema = Schema<CommunicationSection>(
    initial: CommunicationSection(),
    fields: [
      .init(
        "timeout", \.timeout, .float(.positive), unit: "seconds",
        "how long a rank waits for a message before it says for which, and ends the job")
    ])
}
