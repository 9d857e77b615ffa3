package import Communication
package import Model

extension RankLayout {
  /// The layout of the most of these ranks on which the run fits, for a run that goes on without some of them.
  ///
  /// - Parameter nodes: of the ranks, in their order; those at the end are left out first.
  /// - Throws: `CommunicationError.grid` with what does not fit on all of them, where it fits on no number of them.
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
