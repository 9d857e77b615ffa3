/// Who works with whom: world = pipeline × data, and expert groups are carved out of the data ranks.
///
/// Rank of the world = stage · data + data rank; data rank = group · expert + expert rank, so that the ranks which
/// exchange most are neighbors, and on one node where it has room. Source: DeepSeek-V3 report §3.2 (expert
/// parallelism within data parallelism).
package struct ProcessGrid {
  package let pipeline: Int
  package let data: Int
  package let expert: Int
  package let world: Communicator
  /// The ranks of this rank's node.
  package let node: Communicator
  /// The ranks with the same stage: they hold the same dense parameters.
  package let dataRanks: Communicator
  /// The ranks that share the experts of this stage among them.
  package let expertRanks: Communicator
  /// The ranks that hold the same experts as this one, one of each expert group.
  package let expertDataRanks: Communicator
  /// The ranks with the same data rank, by stage.
  package let pipelineRanks: Communicator

  package var stage: Int { world.rank / data }
  package var dataRank: Int { world.rank % data }
  package var expertRank: Int { dataRank % expert }
  package var expertGroup: Int { dataRank / expert }

  /// Makes the communicators; every rank of the world calls this with the same numbers.
  ///
  /// - Throws: `CommunicationError.grid` with everything that does not fit.
  package init(
    world: Communicator, pipeline: Int = 1, data: Int, expert: Int
  ) throws(CommunicationError) {
    let faults = Self.faults(ranks: world.size, pipeline: pipeline, data: data, expert: expert)
    guard faults.isEmpty else { throw .grid(faults: faults) }
    (self.pipeline, self.data, self.expert, self.world) = (pipeline, data, expert, world)
    let (rank, stage, place) = (world.rank, world.rank / data, world.rank % data)
    let (group, member) = (place / expert, place % expert)
    let suffix = pipeline > 1 ? " of stage \(stage)" : ""
    let host = world.nodes[rank]
    node = try world.split(color: host, key: rank, name: "node \(host)")
    dataRanks = try world.split(color: stage, key: rank, name: "data\(suffix)")
    expertRanks = try world.split(
      color: stage * (data / expert) + group, key: rank, name: "expert group \(group)\(suffix)")
    expertDataRanks = try world.split(
      color: stage * expert + member, key: rank, name: "replicas of expert rank \(member)\(suffix)")
    pipelineRanks = try world.split(color: place, key: rank, name: "pipeline \(place)")
  }

  /// Everything that does not fit, in words; empty where all does.
  package static func faults(ranks: Int, pipeline: Int, data: Int, expert: Int) -> [String] {
    var faults: [String] = []
    for (name, number) in [("pipeline", pipeline), ("data", data), ("expert", expert)] where number < 1 {
      faults.append("parallel.\(name) is \(number); it must be at least 1")
    }
    guard faults.isEmpty else { return faults }
    if pipeline * data != ranks {
      faults.append(
        "parallel.pipeline (\(pipeline)) × parallel.data (\(data)) is \(pipeline * data), but \(ranks) "
          + (ranks == 1 ? "rank was" : "ranks were") + " started")
    }
    if !data.isMultiple(of: expert) {
      faults.append("parallel.expert (\(expert)) does not divide parallel.data (\(data))")
    }
    return faults
  }
}
