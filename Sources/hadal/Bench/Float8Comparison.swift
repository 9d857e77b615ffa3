internal import Autograd
internal import Model
internal import Tensors
internal import Training

/// `hadal bench gemm` with `precision.mode: fp8`: products of codes beside those of bfloat16 and float32 numbers.
struct Float8Comparison {
  private let threads: Int?
  private let tokens, selected: Int
  private let products: [ModelProduct]
  private let kinds: [ProductKind]
  /// Rows that each expert is given, beside what random tokens give it.
  private let tokensPerExpert: [Int]
  /// Those of the model that stay in other types.
  private let others: [String]

  /// - Throws: `ConfigurationError`, `OptionError`.
  init(_ configuration: RunConfiguration, tokensPerExpert: [Int]) throws {
    let (model, section) = (try configuration.benchedModel(), configuration.precision.fp8)
    for count in tokensPerExpert where !(1...1 << 20 ~= count) {
      throw OptionError(option: "--tokens-per-expert", reason: "\(count) must be from 1 to \(1 << 20)")
    }
    threads = configuration.training.threads
    (tokens, selected) = (configuration.microBatchTokens, model.numExpertsPerTok)
    kinds = ProductKind.allCases.filter { section.gemms.contains($0.gemm) }
    let all = ModelProduct.all(model)
    let isCoded = { (product: ModelProduct) in product.group.map(section.matrices.contains) ?? false }
    (products, others) = (all.filter(isCoded), all.filter { !isCoded($0) }.map(\.name))
    guard !tokensPerExpert.isEmpty else {
      self.tokensPerExpert = products.contains { $0.experts != nil } ? [16, 32, 64, 128] : []
      return
    }
    guard products.contains(where: { $0.experts != nil }) else {
      throw OptionError(
        option: "--tokens-per-expert",
        reason: "no experts are multiplied in FP8: leave it out, or name "
          + "routed_experts in precision.fp8.matrices")
    }
    self.tokensPerExpert = tokensPerExpert
  }

  /// Checks and times all, and prints the report.
  func run(json: Bool) throws {
    for product in products { try checkMemory(product) }
    let before = Ceilings(try ProcessDevice.make(threads: threads))
    var results: [Float8Result] = []
    for product in products {
      results += try measure(product, product.offsets(tokens: tokens, selected: selected))
    }
    for count in tokensPerExpert {
      for product in products {
        guard let experts = product.experts else { continue }
        results += try measure(product, (0...experts).map { $0 * count }, tokensPerExpert: count)
      }
    }
    let device = try ProcessDevice.make(threads: threads)
    let report = BenchReport(device, .best(before, Ceilings(device)), results)
    if json { return print(try BenchJSON.text(report)) }
    print(
      "\(report.head)\n\n\(Float8Result.text(results))\n\nNot in FP8, and not measured: \(others.joined(separator: ", "))"
    )
  }

  private func checkMemory(_ product: ModelProduct) throws {
    let routed = product.experts.map { max(tokens * selected, $0 * (tokensPerExpert.max() ?? 0)) }
    // Numbers of both types, and codes of both kinds of scales, each with sums of its own.
    let bytes = GEMMCase.byteCount(product, .float32, rows: routed ?? tokens)
    try BenchMemoryCheck.run(product.name, bytes: 3 * bytes)
  }

  private func measure(
    _ product: ModelProduct, _ offsets: [Int], tokensPerExpert: Int? = nil
  ) throws -> [Float8Result] {
    // A device of its own: its pool gives the memory back.
    let device = try ProcessDevice.make(threads: threads)
    return try kinds.map { kind in
      let numbers = GEMMCase(product, kind, .float32, offsets: offsets, on: device)
      let halves = GEMMCase(product, kind, .bfloat16, offsets: offsets, on: device)
      try numbers.check()
      try halves.check()
      let unquantized = numbers.run(into: numbers.sum.map { (Tensor($0.shape, on: device), false) })
      let codes = GEMMVariant.codes.map { Float8Case($0, of: numbers) }
      let errors = try codes.map { try $0.check(unquantized) }
      return Float8Result(
        numbers, halves, codes, errors, uses: tokensPerExpert == nil ? product.uses : nil,
        tokensPerExpert: tokensPerExpert)
    }
  }
}

extension ProductKind {
  /// As `precision.fp8.gemms` calls it.
  var gemm: Float8Settings.GEMM {
    switch self {
    case .forward: .fprop
    case .inputGradient: .dgrad
    case .weightGradient: .wgrad
    }
  }
}
