extension Communicator {
  /// Makes groups: the ranks that give the same color, ordered by key, then by rank here. Collective.
  ///
  /// - Parameter name: for people, of this rank's group.
  /// - Throws: `CommunicationError` when ranks do not come here in time or the library fails.
  package func split(color: Int, key: Int, name: String) throws(CommunicationError) -> Communicator {
    let purpose = Purpose("making of group \(name)", .control)
    let own = Buffer([color, key, endpoint.nextContext])
    let all = Buffer(count: own.bytes.count * size)
    try gather(
      UnsafeRawBufferPointer(own.bytes), lengths: Array(repeating: own.bytes.count, count: size), to: 0,
      into: rank == 0 ? all.bytes : UnsafeMutableRawBufferPointer(rebasing: all.bytes[..<0]), owner: all,
      purpose)
    try broadcast(all.bytes, from: 0, owner: all, purpose)
    let given: [Int] = all.elements()
    let answers = (0..<size).map { Answer(rank: $0, numbers: given[3 * $0..<3 * $0 + 3]) }
    // A number that none of these ranks uses; groups without a common rank may have the same.
    let context = answers.map(\.next).max() ?? endpoint.nextContext
    endpoint.nextContext = context + 1
    let members = answers.filter { $0.color == color }.sorted { ($0.key, $0.rank) < ($1.key, $1.rank) }
    let ranks = members.map { worldRanks[$0.rank] }
    try endpoint.transport.openContext(context, members: ranks)
    return Communicator(name: name, worldRanks: ranks, context: context, endpoint: endpoint)
  }
}

/// What one rank gives to a split.
private struct Answer {
  let rank: Int
  let color: Int
  let key: Int
  let next: Int

  init(rank: Int, numbers: ArraySlice<Int>) {
    let start = numbers.startIndex
    (self.rank, color, key, next) = (rank, numbers[start], numbers[start + 1], numbers[start + 2])
  }
}
