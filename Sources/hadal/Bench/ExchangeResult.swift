internal import Communication
internal import Training

/// One way of exchanging, timed.
struct ExchangeResult: Encodable {
  /// `route`, `dispatch` or `combine`.
  let operation: String
  let levels: ExchangeLevels
  let payload: BenchExchange.Payload
  let tokensPerRank, runs: Int
  let microseconds: Double
  /// `MPI_Alltoallv` of the same bytes, and its time by that of the exchange; nil where rows do not travel.
  let libraryMicroseconds, shareOfLibrary: Double?
  /// Bytes that a rank sends to others, on average, by the time.
  let gigabytesPerSecond: Double
  /// Of a row as it travels.
  let rowBytes: Int?
  let bytesPerTokenWithinNode, bytesPerTokenBetweenNodes: Double
  /// Nodes but its own that a token goes to, on average.
  let otherNodesPerToken: Double

  /// - Parameters:
  ///   - bytes: of all ranks, within nodes and between them.
  ///   - otherNodes: summed over all tokens of all ranks.
  init(
    operation: String, levels: ExchangeLevels, _ setting: ExchangeSetting, runs: Int, seconds: Double,
    librarySeconds: Double?, ranks: Int, bytes: (near: Int, far: Int), otherNodes: Int
  ) {
    (self.operation, self.levels, payload, tokensPerRank) = (
      operation, levels, setting.payload, setting.tokens
    )
    (self.runs, microseconds) = (runs, seconds * 1e6)
    libraryMicroseconds = librarySeconds.map { $0 * 1e6 }
    shareOfLibrary = librarySeconds.map { $0 / seconds }
    gigabytesPerSecond = Double(bytes.near + bytes.far) / Double(ranks) / seconds * 1e-9
    rowBytes =
      operation == "dispatch"
      ? setting.rowBytes.dispatch : operation == "combine" ? setting.rowBytes.combine : nil
    let tokens = Double(ranks * setting.tokens)
    bytesPerTokenWithinNode = Double(bytes.near) / tokens
    bytesPerTokenBetweenNodes = Double(bytes.far) / tokens
    otherNodesPerToken = Double(otherNodes) / tokens
  }

  static func table(_ results: [ExchangeResult]) -> String {
    var table = TextTable(
      words: ["operation", "levels", "payload"],
      numbers: [
        "tokens", "µs", "raw µs", "share", "GB/s", "row B", "B/token within", "between", "other nodes",
      ])
    for r in results {
      table.add([
        r.operation, r.levels.rawValue, r.payload.rawValue, "\(r.tokensPerRank)", r.microseconds.text(0),
        r.libraryMicroseconds?.text(0) ?? "", r.shareOfLibrary.map { (100 * $0).text(0) + " %" } ?? "",
        r.rowBytes == nil ? "" : r.gigabytesPerSecond.shortText, r.rowBytes.map { "\($0)" } ?? "",
        r.bytesPerTokenWithinNode.text(0), r.bytesPerTokenBetweenNodes.text(0), r.otherNodesPerToken.text(2),
      ])
    }
    return table.text
  }
}

/// Everything that the benchmark prints.
struct ExchangeReport: Encodable {
  let machine = Machine()
  let ranks, threads: Int
  /// Of each rank.
  let nodes: [Int]
  let hidden, topK, experts, groups, keptGroups: Int
  /// Whether rows within rank 0's node are read where they lie; and why not, where somebody on any node cannot.
  let sharesMemory: Bool
  let sharingFault: String?
  let results: [ExchangeResult]

  init(_ options: BenchExchange, _ ranks: Communicator, threads: Int, _ results: [ExchangeResult]) {
    (self.ranks, nodes, self.threads, self.results) = (ranks.size, ranks.nodes, threads, results)
    (hidden, topK, experts) = (options.hidden, options.topK, options.experts)
    (groups, keptGroups) = (options.groups, options.keptGroups)
    (sharesMemory, sharingFault) = (ranks.nodeMemory != nil, ranks.nodeMemoryFault)
  }

  /// Where and what, for a person.
  var head: String {
    "\(machine.processor), cores: \(machine.cores), ranks: \(ranks) on \(Set(nodes).count) "
      + "\(Set(nodes).count == 1 ? "node" : "nodes"), threads of a rank: \(threads), within a node: "
      + "\(sharesMemory ? "shared memory" : "messages")" + (sharingFault.map { " (\($0))" } ?? "") + "\n"
      + "width \(hidden), \(topK) of \(experts) experts"
      + (groups > 1 ? ", from \(keptGroups) of \(groups) groups" : "")
  }
}
