internal import ArgumentParser
internal import Communication
internal import Parallel
internal import Tensors
internal import Training

/// `hadal bench exchange`, under mpirun: how fast tokens reach experts on other ranks, and come back.
struct BenchExchange: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "exchange", abstract: "Dispatch and combine between ranks, against MPI_Alltoallv.",
    discussion: """
      Start it under mpirun, on two ranks or more. Tokens choose their experts at random. Known rows must come back as \
      the sums that they should be before anything is timed. In one level rows go straight to each rank; in two, \
      where ranks lie on nodes like that, once to each node. Times are medians over the runs, of the slowest rank each \
      time, with the copies that put rows in order; route is the agreement on the numbers of rows. raw is \
      MPI_Alltoallv of the same bytes on the same groups of ranks, and the share is its time by that of the exchange. \
      GB/s are bytes that a rank sends to others, on average; bytes per token are those that leave a rank, within a \
      node and between nodes. A row has its token's experts and their weights beside it.
      """)

  enum Payload: String, ExpressibleByArgument, CaseIterable, Encodable {
    case float32, bfloat16, fp8

    /// What comes back from the experts.
    var numbers: DType { self == .float32 ? .float32 : .bfloat16 }
  }

  @Option(parsing: .upToNextOption, help: "Tokens of each rank, one or more numbers.") var tokens = [1, 1024]
  @Option(help: "Width of a token's row.") var hidden = 7168
  @Option(name: .customLong("top-k"), help: "Experts that each token chooses.") var topK = 8
  @Option(help: "Experts, in all.") var experts = 256
  @Option(help: "Groups that experts are divided into.") var groups = 1
  @Option(help: "Groups that a token's experts are from, at most.") var keptGroups = 1
  @Option(parsing: .upToNextOption, help: "What rows travel as: float32, bfloat16, fp8.")
  var payload = [Payload.bfloat16, .fp8]
  @Option(help: "Timed runs, at least 15.") var runs = 15
  @Flag(help: "Send messages within a node too, as communication.shared_memory: false does.") var messages =
    false
  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    try onAllRanks(.init(sharesMemory: !messages)) { ranks in
      try check(ranks)
      var paths: [ExchangeLevels: ExchangePath] = [.one: .oneLevel(ranks)]
      if ExchangePath.fault(nodes: ranks.nodes) == nil { paths[.two] = try .twoLevel(ranks) }
      let device = try ProcessDevice.make()
      var results: [ExchangeResult] = []
      for payload in payload {
        for count in tokens {
          let setting = ExchangeSetting(self, tokens: count, payload: payload)
          for levels in ExchangeLevels.allCases {
            guard let path = paths[levels] else { continue }
            let exchange = ExchangeRun(setting, path, ranks: ranks, on: device)
            try exchange.check()
            results += try exchange.measure(runs, levels)
          }
        }
      }
      guard ranks.rank == 0 else { return }
      let report = ExchangeReport(self, ranks, threads: device.workers.threads, results)
      print(json ? try BenchJSON.text(report) : "\(report.head)\n\n\(ExchangeResult.table(results))")
    }
  }

  /// - Throws: `OptionError`.
  private func check(_ ranks: Communicator) throws(OptionError) {
    if ranks.size < 2 {
      throw OptionError(
        option: "ranks", reason: "there is only one; start it on more: launch/mpirun.sh -n 2 bench exchange")
    }
    for (option, value, range) in [
      ("--hidden", hidden, 2...1 << 20), ("--top-k", topK, 1...32), ("--runs", runs, 15...10_000),
      ("--experts", experts, ranks.size...1024), ("--groups", groups, 1...experts),
      ("--kept-groups", keptGroups, 1...groups),
    ] + tokens.map({ ("--tokens", $0, 1...1 << 20) }) where !range.contains(value) {
      throw OptionError(
        option: option, reason: "\(value) must be from \(range.lowerBound) to \(range.upperBound)")
    }
    if !hidden.isMultiple(of: 2) { throw OptionError(option: "--hidden", reason: "\(hidden) must be even") }
    for (what, count) in [("ranks", ranks.size), ("groups", groups)] where !experts.isMultiple(of: count) {
      throw OptionError(option: "--experts", reason: "\(experts) must be a multiple of the \(count) \(what)")
    }
    if topK > experts / groups * keptGroups {
      throw OptionError(
        option: "--top-k", reason: "\(topK) experts are not in \(keptGroups) of \(groups) groups")
    }
    let bytes = (tokens.max() ?? 0) * min(topK, ranks.size) * hidden * 4
    if bytes >= 1 << 31 {
      throw OptionError(
        option: "--tokens",
        reason:
          "up to \(bytes) bytes leave a rank; MPI_Alltoallv counts to 2 GiB: take fewer, or narrower rows")
    }
    let (needed, available) = (6 * bytes, MemoryCheck.limit())
    if needed > available {
      throw OptionError(
        option: "--tokens",
        reason: "rows take up to \(ProgressText.memory(bytes: needed)); this process may use "
          + ProgressText.memory(bytes: available))
    }
  }
}
