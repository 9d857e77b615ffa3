internal import ArgumentParser
internal import Tensors

/// `hadal bench memory`: how fast bytes move, and how fast a core multiplies.
struct BenchMemory: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "memory", abstract: "The ceilings alone: bandwidth of caches and memory, multiply-adds.",
    discussion: """
      Reads (sum of an array), copies (with plain stores, and with stores that pass by the caches) and triads \
      (y = a + 3 b), on one thread and on all, over arrays of 1 MiB a thread, 32 MiB and 256 MiB. Bytes are \
      those of the arrays, each counted once; what plain stores read beforehand is not counted. GB are 10^9 bytes.
      """)

  @Option(help: "Worker threads. (default: one a core)") var threads: Int?

  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    if let threads, threads < 1 {
      throw OptionError(option: "--threads", reason: "\(threads) must be at least 1")
    }
    let device = try ProcessDevice.make(threads: threads)
    let all = device.workers.threads
    let ceilings = Ceilings(
      device, patterns: StreamPattern.allCases, threads: all == 1 ? [1] : [1, all])
    let report = BenchReport(device, ceilings, [Ceilings.Bandwidth]())
    print(json ? try BenchJSON.text(report) : "\(report.head)\n\n\(ceilings.bandwidthTable)")
  }
}
