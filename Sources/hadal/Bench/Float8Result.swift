internal import Tensors
internal import Training

/// A product that was checked in all its variants, and timed in turns.
struct Float8Result: Encodable {
  /// One of the variants.
  struct Timing: Encodable {
    let variant: GEMMVariant
    let microseconds, gigaflopsPerSecond: Double
    /// bfloat16's time over this one's: the median of the rounds.
    let timesBfloat16: Double
    let bytes: Int
    /// nil for numbers.
    let errors: Float8Case.Errors?
  }

  let name: String
  let kind: ProductKind
  let m, n, k: Int
  /// Rows of each expert; nil where there are none.
  let groups: [Int]?
  /// Layers that have the product; nil for numbers of rows that are not the model's.
  let uses: Int?
  /// Rows that every expert was given; nil for the model's.
  let tokensPerExpert: Int?
  let rounds: Int
  let gigaflop: Double
  let timings: [Timing]

  init(
    _ numbers: GEMMCase, _ halves: GEMMCase, _ codes: [Float8Case], _ errors: [Float8Case.Errors],
    uses: Int?, tokensPerExpert: Int?
  ) {
    let bodies = [{ _ = numbers.run() }, { _ = halves.run() }] + codes.map { code in { code.run() } }
    let rounds = Stopwatch.rounds(budget: 0.4, bodies)
    let variants = [GEMMVariant.float32, .bfloat16] + codes.map(\.variant)
    let bytes = [numbers.bytes, halves.bytes] + codes.map(\.bytes)
    timings = variants.indices.map { i in
      let seconds = Stopwatch.median(rounds.map { $0[i] })
      return Timing(
        variant: variants[i], microseconds: seconds * 1e6,
        gigaflopsPerSecond: numbers.flops / seconds * 1e-9,
        timesBfloat16: Stopwatch.median(rounds.map { $0[1] / $0[i] }), bytes: bytes[i],
        errors: i < 2 ? nil : errors[i - 2])
    }
    (name, kind, m, n, k) = (numbers.name, numbers.kind, numbers.m, numbers.n, numbers.k)
    groups = numbers.isGrouped ? zip(numbers.offsets.dropFirst(), numbers.offsets).map { $0 - $1 } : nil
    (self.uses, self.tokensPerExpert) = (uses, tokensPerExpert)
    (self.rounds, gigaflop) = (rounds.count, numbers.flops * 1e-9)
  }

  private subscript(variant: GEMMVariant) -> Timing? { timings.first { $0.variant == variant } }

  /// Tables: the products of the model, then each number of rows for experts.
  static func text(_ results: [Float8Result]) -> String {
    var parts = [table(results.filter { $0.tokensPerExpert == nil }), sums(results)]
    var counts: [Int] = []
    for count in results.compactMap(\.tokensPerExpert) where !counts.contains(count) { counts.append(count) }
    for count in counts {
      parts.append("\(count) tokens per expert")
      parts.append(table(results.filter { $0.tokensPerExpert == count }))
    }
    return parts.joined(separator: "\n\n")
  }

  private static func table(_ results: [Float8Result]) -> String {
    var table = TextTable(
      words: ["product", "kind"],
      numbers: [
        "M", "N", "K", "groups", "uses", "bfloat16 µs", "GFLOP/s", "float32", "promoted", "folded", "bytes",
      ])
    for r in results {
      let ratio = { (variant: GEMMVariant) in r[variant].map { $0.timesBfloat16.text(2) + " ×" } ?? "" }
      let half = r[.bfloat16]
      let share = r[.folded].flatMap { code in half.map { Double(code.bytes) / Double($0.bytes) } } ?? 0
      table.add([
        r.name, r.kind.rawValue, "\(r.m)", "\(r.n)", "\(r.k)", r.groups.map { "\($0.count)" } ?? "",
        r.uses.map(String.init) ?? "", (half?.microseconds ?? 0).text(1),
        (half?.gigaflopsPerSecond ?? 0).shortText, ratio(.float32), ratio(.promoted), ratio(.folded),
        (100 * share).text(0) + " %",
      ])
    }
    return table.text
  }

  /// What the model's products add up to over the layers of a micro-batch.
  private static func sums(_ results: [Float8Result]) -> String {
    let parts = GEMMVariant.allCases.map { variant in
      let sum = results.reduce(0) { $0 + Double($1.uses ?? 0) * ($1[variant]?.microseconds ?? 0) }
      return "\(variant.rawValue) \((1e-3 * sum).text(1)) ms"
    }
    return "All uses of a micro-batch: \(parts.joined(separator: "; "))"
  }
}
