internal import ArgumentParser
internal import Model
internal import Tensors
internal import Training

/// `hadal bench attention [CONFIG.yaml]`: the core of latent attention, forward and backward.
struct BenchAttention: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attention", abstract: "Latent attention, forward and backward, at several lengths.",
    discussion: """
      Heads, widths, precision and tokens are those of the configuration's micro-batch; without one, 8 heads of \
      DeepSeek-V3's widths on 2048 tokens in bfloat16. As many whole sequences as the tokens hold, at least one. \
      Only pairs that the causal mask leaves count as work: 2 products forward, 5 backward, where the scores are \
      computed anew.
      """)

  @Argument(help: "The run's configuration.", completion: .file(extensions: ["yaml", "yml"]))
  var config: String?

  @Option(name: .long, help: "Replace a value of the configuration; may be repeated.") var set: [String] = []

  @Option(parsing: .upToNextOption, help: "Lengths to measure, in tokens.") var sequence = [512, 4096]

  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    for length in sequence where !(1...1 << 20 ~= length) {
      throw OptionError(option: "--sequence", reason: "\(length) must be from 1 to \(1 << 20)")
    }
    let setting = try setting()
    for length in sequence {
      let bytes = AttentionCase.byteCount(setting.shape(length), setting.dtype)
      try BenchMemoryCheck.run("attention at sequence \(length)", bytes: bytes)
    }
    let before = Ceilings(try ProcessDevice.make(threads: setting.threads))
    var results: [AttentionResult] = []
    for length in sequence {
      // A device of its own: its pool gives the memory back.
      let device = try ProcessDevice.make(threads: setting.threads)
      let attention = AttentionCase(setting.shape(length), setting.dtype, on: device)
      try attention.check()
      results += AttentionResult.both(attention)
    }
    let device = try ProcessDevice.make(threads: setting.threads)
    let ceilings = Ceilings.best(before, Ceilings(device))
    for i in results.indices { results[i].compare(with: ceilings) }
    let report = BenchReport(device, ceilings, results)
    print(json ? try BenchJSON.text(report) : "\(report.head)\n\n\(AttentionResult.table(results))")
  }

  private func setting() throws -> AttentionSetting {
    guard let config else {
      guard set.isEmpty else {
        throw OptionError(option: "--set", reason: "replaces values of a configuration, and none is named")
      }
      return AttentionSetting()
    }
    let run = try RunConfiguration.load(path: config, overrides: set)
    return AttentionSetting(
      model: run.model.shape, tokens: run.microBatchTokens, dtype: run.precision.mode.dtype,
      threads: run.training.threads)
  }
}

/// What is measured, but for the length.
private struct AttentionSetting {
  var model: ModelConfiguration
  var tokens = 2048
  var dtype = DType.bfloat16
  var threads: Int?

  init(model: ModelConfiguration, tokens: Int, dtype: DType, threads: Int?) {
    (self.model, self.tokens, self.dtype, self.threads) = (model, tokens, dtype, threads)
  }

  init() {
    model = ModelConfiguration()
    model.numAttentionHeads = 8
  }

  func shape(_ length: Int) -> AttentionShape {
    AttentionShape(
      sequences: max(1, tokens / length), queries: length, keys: length, heads: model.numAttentionHeads,
      nope: model.qkNopeHeadDim, rope: model.qkRopeHeadDim, value: model.vHeadDim,
      scale: Float(model.softmaxScale), interleaved: model.ropeInterleave)
  }
}

/// One direction at one length, checked and timed.
struct AttentionResult: TimedResult {
  let direction: String
  let dtype: DType
  let sequence, sequences, heads: Int
  /// Per head: plain and rotary width of queries and keys, width of values.
  let nope, rope, value: Int
  let runs: Int
  let microseconds, gigaflop, gigaflopsPerSecond: Double
  let bytes: Int
  var floorMicroseconds = 0.0, shareOfCeiling = 0.0

  static func both(_ attention: AttentionCase) -> [AttentionResult] {
    let saved = attention.forward()
    return [
      AttentionResult(
        "forward", attention, attention.forwardFlops, attention.forwardBytes
      ) { _ = attention.forward() },
      AttentionResult(
        "backward", attention, attention.backwardFlops, attention.backwardBytes
      ) { _ = attention.backward(saved) },
    ]
  }

  private init(
    _ direction: String, _ attention: AttentionCase, _ flops: Double, _ bytes: Int,
    _ run: () -> Void
  ) {
    let (shape, (seconds, runs)) = (attention.shape, Stopwatch.median(budget: 0.2, run))
    (self.direction, dtype, self.bytes) = (direction, attention.dtype, bytes)
    (sequence, sequences, heads) = (shape.keys, shape.sequences, shape.heads)
    (nope, rope, value) = (shape.nope, shape.rope, shape.value)
    (self.runs, microseconds) = (runs, seconds * 1e6)
    (gigaflop, gigaflopsPerSecond) = (flops * 1e-9, flops / seconds * 1e-9)
  }

  static func table(_ results: [AttentionResult]) -> String {
    var table = TextTable(
      words: ["attention", "type"],
      numbers: ["sequence", "sequences", "heads", "q·k", "v", "µs", "GFLOP/s", "ceiling", "bytes"])
    for r in results {
      table.add([
        r.direction, r.dtype.rawValue, "\(r.sequence)", "\(r.sequences)", "\(r.heads)", "\(r.nope)+\(r.rope)",
        "\(r.value)", r.microseconds.text(1), r.gigaflopsPerSecond.shortText,
        (100 * r.shareOfCeiling).text(0) + " %", ProgressText.memory(bytes: r.bytes),
      ])
    }
    return table.text
  }
}
