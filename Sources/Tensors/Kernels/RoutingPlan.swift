internal import CKernels

/// Where each routed copy of a token goes: rows sorted by expert, and the way back.
package struct RoutingPlan {
  /// Rows of expert e: `offsets[e] ..< offsets[e + 1]`.
  package let offsets: [Int]
  /// `[R]` int32: the token of each row.
  package let tokens: Tensor
  /// `[R]` int32: the place t·K + k of each row among the selections.
  package let slots: Tensor
  /// `[T, K]` int32: the row of each selection; -1 for one that has none.
  package let positions: Tensor

  /// Tokens that each expert received.
  package var counts: [Int] { zip(offsets.dropFirst(), offsets).map { $0 - $1 } }

  /// Sorts by counting, stably: rows of one expert stand in the order of their tokens.
  /// - Parameter indices: `[T, K]` int32, the selected experts; -1 for one that another rank holds.
  package init(_ indices: Tensor, experts: Int) {
    precondition(experts <= 1024, "\(experts) experts: the sort holds at most 1024")
    let (count, device) = (indices.count, indices.device)
    let tokens = Tensor([count], .int32, on: device)
    let slots = Tensor([count], .int32, on: device)
    let positions = Tensor(indices.shape, .int32, on: device)
    var offsets = [Int](repeating: 0, count: experts + 1)
    device.measured("routing plan", bytes: 4 * indices.byteCount) {
      device.kernels.pointee.sort_by_expert(
        indices.integers, indices.rows, indices.columns, experts, &offsets, tokens.integers, slots.integers,
        positions.integers)
    }
    let rows = offsets[experts]
    (self.offsets, self.positions) = (offsets, positions)
    (self.tokens, self.slots) = (tokens.view(at: 0, [rows]), slots.view(at: 0, [rows]))
  }
}
