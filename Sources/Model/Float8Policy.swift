package import Autograd

/// Which matrices of a model are multiplied in FP8.
///
/// Never: embedding, output head, router gates, norms, the attention core.
/// Source: DeepSeek-V3, arXiv:2412.19437, §3.3.1.
package struct Float8Policy: Sendable, Hashable {
  package var settings = Float8Settings()
  package var matrices: Set<MatrixGroup> = [.attention, .dense, .sharedExperts, .routedExperts]
  /// Layers of the main model that stay in bfloat16, from its start and from its end.
  package var firstLayers = 0
  package var lastLayers = 0

  package init() {}

  /// Matrices that are chosen together.
  package enum MatrixGroup: String, Sendable, CaseIterable {
    case attention, dense
    case sharedExperts = "shared_experts"
    case routedExperts = "routed_experts"
    /// `eh_proj` of multi-token prediction.
    case mtpProjection = "mtp_projection"
  }

  /// - Parameters:
  ///   - layer: its number; modules of multi-token prediction have those after the main model's.
  ///   - layers: how many the main model has.
  /// - Returns: nil for a layer that stays in bfloat16.
  func settings(for group: MatrixGroup, layer: Int, of layers: Int) -> Float8Settings? {
    let isKept = layer < firstLayers || (layers - lastLayers..<layers).contains(layer)
    return isKept || !matrices.contains(group) ? nil : settings
  }
}
