package import Communication
package import Model

extension RankLayout {
  /// The layout of the most of these ranks by which the run can be divided, for one that goes on without some of them.
  /// Memory is not looked at: ranks that start look at that of their nodes.
  ///
  /// - Parameter nodes: of the ranks, in their order; those at the end are left out first.
  /// - Throws: `CommunicationError.grid` with what stands against all of them, where something stands against each number.
  package static func largest(
    _ configuration: RunConfiguration, _ model: ModelConfiguration, nodes: [Int]
  ) throws(CommunicationError) -> RankLayout {
    do throws(CommunicationError) {
      return try RankLayout(configuration, model, nodes: nodes)
    } catch {
      for ranks in (1..<max(1, nodes.count)).reversed() {
        let first = Array(nodes.prefix(ranks))
        if let layout = try? RankLayout(configuration, model, nodes: first) { return layout }
      }
      throw error
    }
  }
}
