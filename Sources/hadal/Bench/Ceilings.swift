internal import Tensors
internal import Training

/// The most that this machine does in a second, measured: the best of several runs.
struct Ceilings: Encodable {
  struct Rate: Encodable {
    /// `float32 multiply-adds`, or `bfloat16` and the unit for it.
    let unit: String
    let threads: Int
    let gigaflops: Double

    var text: String {
      "\(unit), \(threads) \(threads == 1 ? "thread" : "threads"): \(gigaflops.shortText) GFLOP/s"
    }
  }

  struct Bandwidth: Encodable {
    let pattern: StreamPattern
    /// Of each array.
    let bytes: Int
    let threads: Int
    let gigabytesPerSecond: Double
  }

  let rates: [Rate]
  let bandwidths: [Bandwidth]

  private static let single = "float32 multiply-adds"

  /// - Parameters:
  ///   - patterns: which ways of going through memory.
  ///   - threads: numbers of threads to measure with.
  init(_ device: Device, patterns: [StreamPattern], threads: [Int]) {
    rates = threads.flatMap { Self.rates(device, threads: $0) }
    bandwidths = threads.flatMap { Self.bandwidths(device, patterns, threads: $0) }
  }

  /// All threads, and what products and attention compare themselves with.
  init(_ device: Device) {
    self.init(device, patterns: [.read, .streamingCopy], threads: [device.workers.threads])
  }

  /// The better of two measurements of the same loops: what disturbed one may have spared the other.
  static func best(_ first: Ceilings, _ second: Ceilings) -> Ceilings {
    Ceilings(
      rates: zip(first.rates, second.rates).map { $0.gigaflops > $1.gigaflops ? $0 : $1 },
      bandwidths: zip(first.bandwidths, second.bandwidths).map {
        $0.gigabytesPerSecond > $1.gigabytesPerSecond ? $0 : $1
      })
  }

  private init(rates: [Rate], bandwidths: [Bandwidth]) {
    (self.rates, self.bandwidths) = (rates, bandwidths)
  }

  /// The time in seconds below which work cannot be done: at the rate of the operands' type, and at the bandwidth
  /// of arrays of that size; all threads.
  func floor(flops: Double, bytes: Int, _ dtype: DType) -> Double {
    max(flops / (gigaflops(dtype) * 1e9), Double(bytes) / (bandwidth(bytes) * 1e9))
  }

  /// The greater of both units for bfloat16: some processors multiply float32 faster.
  private func gigaflops(_ dtype: DType) -> Double {
    let threads = rates.map(\.threads).max()
    let units = rates.filter { $0.threads == threads && (dtype == .bfloat16 || $0.unit == Self.single) }
    return units.map(\.gigaflops).max() ?? 0
  }

  /// Of the smallest arrays that are as large as `bytes`, by the fastest way.
  private func bandwidth(_ bytes: Int) -> Double {
    let threads = bandwidths.map(\.threads).max()
    let all = bandwidths.filter { $0.threads == threads }
    let size = all.map(\.bytes).filter { $0 >= bytes }.min() ?? all.map(\.bytes).max()
    return all.filter { $0.bytes == size }.map(\.gigabytesPerSecond).max() ?? 0
  }
}

/// Work that was checked and timed.
protocol TimedResult: Encodable {
  var dtype: DType { get }
  var gigaflop: Double { get }
  var bytes: Int { get }
  var microseconds: Double { get }
  /// The least time that the ceilings allow, and its share of the time that was taken.
  var floorMicroseconds: Double { get set }
  var shareOfCeiling: Double { get set }
}

extension TimedResult {
  mutating func compare(with ceilings: Ceilings) {
    floorMicroseconds = 1e6 * ceilings.floor(flops: 1e9 * gigaflop, bytes: bytes, dtype)
    shareOfCeiling = floorMicroseconds / microseconds
  }
}

extension Ceilings {
  private static func rates(_ device: Device, threads: Int) -> [Rate] {
    var rates = [
      Rate(
        unit: single, threads: threads,
        gigaflops: rate { device.multiplyAdds(iterations: $0, threads: threads).flops })
    ]
    if let unit = device.bfloat16Unit {
      rates.append(
        Rate(
          unit: "bfloat16 \(unit)", threads: threads,
          gigaflops: rate { device.bfloat16Products(iterations: $0, threads: threads).work.flops }))
    }
    return rates
  }

  /// GFLOP/s of a loop; its iterations are doubled until a run takes 5 ms.
  private static func rate(_ work: (Int) -> Double) -> Double {
    var iterations = 1 << 10
    while Stopwatch.seconds({ _ = work(iterations) }) < 0.005 { iterations *= 2 }
    return work(iterations) / Stopwatch.fastest { _ = work(iterations) } * 1e-9
  }

  /// Bytes that a timed run moves at least, so that caches and clock have settled.
  private static let leastBytes = 1 << 26

  /// Arrays that fit into a core's own cache, that fit into a shared one, and that fit into none.
  private static func bandwidths(
    _ device: Device, _ patterns: [StreamPattern], threads: Int
  ) -> [Bandwidth] {
    let sizes = [threads << 20, 1 << 25, 1 << 28].map { $0 / (512 * threads) * 512 * threads }
    let arrays = (0..<(patterns.map(\.arrays).max() ?? 0)).map { _ in
      Tensor.zeros([(sizes.max() ?? 0) / 4], on: device)
    }
    return patterns.flatMap { pattern in
      sizes.map { bytes in
        let views = arrays.prefix(pattern.arrays).map { $0.view(at: 0, [bytes / 4]) }
        let repeats = max(1, leastBytes / bytes)
        let run = { _ = device.stream(pattern, views, repeats: repeats, threads: threads) }
        run()
        let moved = Double(bytes * pattern.arrays * repeats)
        return Bandwidth(
          pattern: pattern, bytes: bytes, threads: threads,
          gigabytesPerSecond: moved / Stopwatch.fastest(run) * 1e-9)
      }
    }
  }

  /// The bandwidths for a person.
  var bandwidthTable: String {
    var table = TextTable(words: ["memory"], numbers: ["threads", "array", "GB/s"])
    for row in bandwidths {
      table.add([
        row.pattern.rawValue, "\(row.threads)", ProgressText.memory(bytes: row.bytes),
        row.gigabytesPerSecond.shortText,
      ])
    }
    return table.text
  }
}
