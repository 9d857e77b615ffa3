/// Where each routed copy of a token goes: rows sorted by expert, and the way back.
package struct RoutingPlan {
  /// Rows of expert e: `offsets[e] ..< offsets[e + 1]`.
  package let offsets: [Int]
  /// `[R]` int32: the token of each row.
  package let tokens: Tensor
  /// `[R]` int32: the place t·K + k of each row among the selections.
  package let slots: Tensor
  /// `[T, K]` int32: the row of each selection.
  package let positions: Tensor

  /// Tokens that each expert received.
  package var counts: [Int] { zip(offsets.dropFirst(), offsets).map { $0 - $1 } }

  /// Sorts by counting, stably: rows of one expert stand in the order of their tokens.
  /// - Parameter indices: `[T, K]` int32, the selected experts.
  package init(_ indices: Tensor, experts: Int) {
    let (count, device) = (indices.count, indices.device)
    let tokens = Tensor([count], .int32, on: device)
    let slots = Tensor([count], .int32, on: device)
    let positions = Tensor(indices.shape, .int32, on: device)
    offsets = device.measured("routing plan", bytes: 4 * indices.byteCount) {
      Self.sort(indices, experts: experts, tokens: tokens, slots: slots, positions: positions)
    }
    (self.tokens, self.slots, self.positions) = (tokens, slots, positions)
  }

  private static func sort(
    _ indices: Tensor, experts: Int, tokens: Tensor, slots: Tensor, positions: Tensor
  ) -> [Int] {
    let (chosen, selected) = (indices.elements(Int32.self), indices.columns)
    var offsets = [Int](repeating: 0, count: experts + 1)
    for expert in chosen { offsets[Int(expert) + 1] += 1 }
    for e in 0..<experts { offsets[e + 1] += offsets[e] }
    let result = offsets
    let (token, slot) = (tokens.elements(Int32.self), slots.elements(Int32.self))
    let position = positions.elements(Int32.self)
    for i in chosen.indices {
      let expert = Int(chosen[i])
      let row = offsets[expert]
      offsets[expert] += 1
      token[row] = Int32(i / selected)
      slot[row] = Int32(i)
      position[i] = Int32(row)
    }
    return result
  }
}
