internal import ArgumentParser
internal import Model
internal import Tensors
internal import Training

/// `hadal bench gemm CONFIG.yaml`: every product of the model with its weights.
struct BenchGEMM: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gemm", abstract: "Every matrix product of the model, forward and both gradients.",
    discussion: """
      At the micro-batch and in the precision of the configuration. M, N, K: [M, N] = [M, K] [K, N]; of experts, \
      the rows of all groups together, and tokens choose their experts at random. uses: layers of the model \
      that have the product. The floor of a product is the time that its operations take at the ceiling of its \
      type, or its bytes (operands and result, each once; a weight gradient's sum is read and written) at the \
      bandwidth of arrays of that size, whichever is longer; the ceiling column is floor / time.
      With precision.mode fp8 the products of that section are done in E4M3 codes, in bfloat16 and in float32, in \
      turns; quantizing is not among what is timed. Codes have float32 scales that multiply sums every 128 of k \
      (promoted), and powers of two that packing multiplies in (folded). Columns with × are bfloat16's time over \
      theirs, medians of the rounds; bytes are those of codes and result, in % of bfloat16's. Products of experts \
      also with as many rows as --tokens-per-expert says.
      """)

  @OptionGroup var source: BenchedRun

  @Option(
    parsing: .upToNextOption,
    help: "In FP8: rows that each expert has, one table for each number (default: 16 32 64 128).")
  var tokensPerExpert: [Int] = []

  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    let configuration = try source.load()
    guard configuration.precision.mode != .fp8 else {
      return try Float8Comparison(configuration, tokensPerExpert: tokensPerExpert).run(json: json)
    }
    guard tokensPerExpert.isEmpty else {
      throw OptionError(
        option: "--tokens-per-expert",
        reason: "compares FP8 with bfloat16: add --set precision.mode=fp8, or leave it out")
    }
    let model = try configuration.benchedModel()
    let (tokens, dtype) = (configuration.microBatchTokens, configuration.precision.mode.dtype)
    let threads = configuration.training.threads
    let products = ModelProduct.all(model)
    for product in products {
      let rows = product.experts == nil ? tokens : tokens * model.numExpertsPerTok
      try BenchMemoryCheck.run(product.name, bytes: GEMMCase.byteCount(product, dtype, rows: rows))
    }
    let before = Ceilings(try ProcessDevice.make(threads: threads))
    var results: [GEMMResult] = []
    for product in products {
      let offsets = product.offsets(tokens: tokens, selected: model.numExpertsPerTok)
      // A device of its own: its pool gives the memory back.
      let device = try ProcessDevice.make(threads: threads)
      for kind in ProductKind.allCases {
        let gemm = GEMMCase(product, kind, dtype, offsets: offsets, on: device)
        try gemm.check()
        results.append(GEMMResult(gemm, uses: product.uses))
      }
    }
    let device = try ProcessDevice.make(threads: threads)
    let ceilings = Ceilings.best(before, Ceilings(device))
    for i in results.indices { results[i].compare(with: ceilings) }
    let report = BenchReport(device, ceilings, results)
    print(json ? try BenchJSON.text(report) : "\(report.head)\n\n\(GEMMResult.table(results))")
  }
}

/// A product that was checked and timed.
struct GEMMResult: TimedResult {
  let name: String
  let kind: ProductKind
  let dtype: DType
  let m, n, k: Int
  /// Rows of each expert; nil where there are none.
  let groups: [Int]?
  let uses, runs: Int
  let microseconds, gigaflop, gigaflopsPerSecond: Double
  let bytes: Int
  var floorMicroseconds = 0.0, shareOfCeiling = 0.0

  init(_ gemm: GEMMCase, uses: Int) {
    let (seconds, runs) = Stopwatch.median(budget: 0.1) { gemm.run() }
    (name, kind, dtype) = (gemm.name, gemm.kind, gemm.dtype)
    (m, n, k, bytes) = (gemm.m, gemm.n, gemm.k, gemm.bytes)
    groups = gemm.isGrouped ? zip(gemm.offsets.dropFirst(), gemm.offsets).map { $0 - $1 } : nil
    (self.uses, self.runs, microseconds) = (uses, runs, seconds * 1e6)
    (gigaflop, gigaflopsPerSecond) = (gemm.flops * 1e-9, gemm.flops / seconds * 1e-9)
  }

  /// The results, and what they add up to over the layers of a micro-batch.
  static func table(_ results: [GEMMResult]) -> String {
    var table = TextTable(
      words: ["product", "kind", "type"],
      numbers: ["M", "N", "K", "groups", "uses", "µs", "GFLOP/s", "ceiling", "bytes"])
    for r in results {
      table.add([
        r.name, r.kind.rawValue, r.dtype.rawValue, "\(r.m)", "\(r.n)", "\(r.k)",
        r.groups.map { "\($0.count)" } ?? "",
        "\(r.uses)", r.microseconds.text(1), r.gigaflopsPerSecond.shortText,
        (100 * r.shareOfCeiling).text(0) + " %", ProgressText.memory(bytes: r.bytes),
      ])
    }
    let seconds = results.reduce(0) { $0 + Double($1.uses) * $1.microseconds * 1e-6 }
    let floor = results.reduce(0) { $0 + Double($1.uses) * $1.floorMicroseconds * 1e-6 }
    let work = results.reduce(0) { $0 + Double($1.uses) * $1.gigaflop }
    return table.text
      + "\n\nAll uses of a micro-batch: \((1e3 * seconds).text(1)) ms for \(work.shortText) GFLOP, "
      + "\((work / seconds).shortText) GFLOP/s; floor \((1e3 * floor).text(1)) ms, "
      + "\((100 * floor / seconds).text(0)) % of the time"
  }
}
