package import Communication

/// The ranks that hold copies of the same parameters, by segment of the model: they sum their gradients and share the
/// update.
///
/// Dense parameters lie on all data-parallel ranks of the stages that hold the segment, those of experts on the ranks
/// that hold the same experts there. With two copies of a stage in a pipeline (DualPipe), or an embedding that the first
/// and the last stage read, copies of both are one group.
package struct ReplicaGroups {
  /// nil for segments that this rank does not hold.
  package let dense, experts: [Communicator?]

  /// Ranks without a pipeline.
  package init(_ grid: ProcessGrid, segments: Int) {
    precondition(grid.pipeline == 1, "\(grid.pipeline) stages, and no word of who holds what")
    dense = Array(repeating: grid.dataRanks, count: segments)
    experts = Array(repeating: grid.expertDataRanks, count: segments)
  }

  /// Every rank of the world calls this.
  ///
  /// - Parameter holders: ranks of the pipeline by segment, ascending.
  /// - Throws: `CommunicationError` when ranks do not come here in time or the library fails.
  package init(_ grid: ProcessGrid, holders: [[Int]]) throws(CommunicationError) {
    var groups: [[Int]: (dense: Communicator, experts: Communicator)] = [:]
    let (world, own) = (grid.world, grid.stage)
    for round in Self.rounds(holders) {
      // Those without a group in this round are each other's.
      let set = round.firstIndex { $0.contains(own) } ?? round.count
      let ranks = set < round.count ? round[set].map(String.init).joined(separator: ", ") : "none"
      let dense = try world.split(
        color: set, key: world.rank, name: "replicas of pipeline ranks \(ranks)")
      let experts = try world.split(
        color: set * grid.expert + grid.expertRank, key: world.rank,
        name: "replicas of expert rank \(grid.expertRank), pipeline ranks \(ranks)")
      if set < round.count { groups[round[set]] = (dense, experts) }
    }
    dense = holders.map { $0.contains(own) ? groups[$0]?.dense : nil }
    experts = holders.map { $0.contains(own) ? groups[$0]?.experts : nil }
  }

  /// The different sets, in rounds whose sets have no rank in common: each round's groups are made at once.
  static func rounds(_ holders: [[Int]]) -> [[[Int]]] {
    var rounds: [[[Int]]] = []
    for (index, set) in holders.enumerated() where !holders[..<index].contains(set) {
      let fits = { (round: [[Int]]) in round.allSatisfy { $0.allSatisfy { !set.contains($0) } } }
      if let round = rounds.firstIndex(where: fits) {
        rounds[round].append(set)
      } else {
        rounds.append([set])
      }
    }
    return rounds
  }
}
