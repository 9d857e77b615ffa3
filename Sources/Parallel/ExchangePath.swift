package import Communication

/// The groups of ranks through which rows reach the ranks of their experts.
///
/// In one level each rank sends to each other. In two levels, for ranks on several nodes, a row crosses to each node
/// once, to the rank with the sender's place in its node, and goes on from there within the node; on the way back the
/// node's part of the sum is formed there, so one row comes back from each node. Source: DeepSeek-V3, arXiv:2412.19437,
/// §3.2.2; specification §5.3.
package struct ExchangePath {
  /// One of all ranks; or the ranks with this one's place in each node, then those of this node.
  package let groups: [Communicator]

  /// All ranks.
  let group: Communicator

  /// Whether ranks read what others scatter where it lies: some of the first group are on one node.
  let isReadInPlace: Bool

  private init(_ group: Communicator, by groups: [Communicator]) {
    (self.group, self.groups) = (group, groups)
    isReadInPlace = (0..<groups[0].size).contains { groups[0].sharesMemory(with: $0) }
  }

  package static func oneLevel(_ group: Communicator) -> ExchangePath { ExchangePath(group, by: [group]) }

  /// Every rank of the group calls this.
  ///
  /// - Throws: `CommunicationError` when ranks do not come here in time or the library fails.
  package static func twoLevel(_ group: Communicator) throws(CommunicationError) -> ExchangePath {
    let nodes = group.nodes
    precondition(fault(nodes: nodes) == nil, "two levels over ranks on nodes \(nodes)")
    let ranksOfNode = nodes.count / Set(nodes).count
    let (node, place) = (group.rank / ranksOfNode, group.rank % ranksOfNode)
    let between = try group.split(
      color: place, key: group.rank, name: "\(group.name), rank \(place) of each node")
    let within = try group.split(
      color: node, key: group.rank, name: "\(group.name), node \(nodes[group.rank])")
    return ExchangePath(group, by: [between, within])
  }

  /// Why rows cannot go in two levels, in words; nil where they can.
  /// - Parameter nodes: of the ranks, in their order.
  package static func fault(nodes: [Int]) -> String? {
    let count = Set(nodes).count
    if count < 2 { return "the ranks that share the experts of a layer are all on one node" }
    let ranksOfNode = nodes.count / count
    let isEven =
      nodes.count.isMultiple(of: count)
      && nodes.indices.allSatisfy { nodes[$0] == nodes[$0 / ranksOfNode * ranksOfNode] }
    return isEven
      ? nil
      : "the ranks that share the experts of a layer are on nodes \(nodes), and each node must have as many of them, "
        + "one after the other"
  }
}
