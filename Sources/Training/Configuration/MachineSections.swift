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
  package var pipeline = 1
  /// nil for the one that suits the ranks and the batch.
  package var schedule: String?
  /// nil for equal costs.
  package var stages: String?
  /// nil for what the schedule has.
  package var virtualStages: Int?
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
      .init("pipeline", \.pipeline, ranks, "ranks of a pipeline, which share the layers"),
      .init(
        "schedule", \.schedule, ValueKind.string.optional("auto"),
        "what the ranks of a pipeline do when: gpipe, 1f1b, interleaved, zb1p, dualpipe, dualpipev, or the path of a "
          + "file; auto: dualpipe where pipeline is even and a step has an even number of micro-batches, at least twice "
          + "as many as ranks; else 1f1b"),
      .init(
        "stages", \.stages, ValueKind.string.optional("auto"),
        "what each stage of the pipeline computes, as in E|t*3|t*3L: E the embedding, t a layer, L norm, MTP and head; "
          + "auto: stages of equal cost"),
      .init(
        "virtual_stages", \.virtualStages, ValueKind<Int>.integer(1...1024).optional("auto"),
        "stages of each rank, for schedule interleaved"),
      .init(
        "expert", \.expert, ranks.optional("auto"),
        "ranks that share the experts of a layer; auto: the most that divide data and n_routed_experts"),
      .init(
        "data", \.data, ranks.optional("auto"), "ranks that share the batch; auto: as many as were started"),
      .init(
        "overlap", \.overlap, .bool,
        "with experts on several ranks, a micro-batch goes forward while the one before it goes backward, so that the "
          + "computation of one hides the messages of the other; there and in pipelines, weight gradients are computed "
          + "where a rank would wait; the bits are the same, memory is that of two micro-batches"
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
      },
      .init("schedule", "pipeline") {
        guard $0.pipeline == 1, $0.schedule != nil || $0.stages != nil || $0.virtualStages != nil else {
          return nil
        }
        return "schedule, stages and virtual_stages have no effect while pipeline is 1; leave them out"
      },
    ])

  private static let ranks = ValueKind<Int>.integer(1...65536)
}

/// The `communication` section.
package struct CommunicationSection: Sendable, Hashable {
  /// Seconds.
  package var timeout = 600.0
  package var sharedMemory = true

  package init() {}

  static let schema = Schema<CommunicationSection>(
    initial: CommunicationSection(),
    fields: [
      .init(
        "timeout", \.timeout, .float(.positive), unit: "seconds",
        "how long a rank waits for a message before it says for which, and ends the job"),
      .init(
        "shared_memory", \.sharedMemory, .bool,
        "whether ranks of one node read each other's rows where they lie, where the system lets them; else, messages"
      ),
    ])
}
