internal import CKernels

// Products of E4M3 codes; sums in float32. Tiles lie along the inner dimension, as DeepSeek-V3 has them (§3.3.2):
// a in 1 × 128 and b in 128 × 128 for Fprop and Dgrad, both in 128 × 1 for Wgrad.

/// How the scales of codes enter a product.
package enum ScaleRoute: Sendable, CaseIterable {
  /// Packing multiplies each code by its scale: exact where panels are float32, or scales are powers of two.
  case folded
  /// Packing converts codes only. The sum over each 128 of k leaves the kernel, and is multiplied by both scales while
  /// it is added in float32. Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2.
  case promoted
}

/// `y = a b` of dequantized operands.
///
/// - Parameters:
///   - route: how the scales enter; nil for the fastest that is exact.
///   - target: as for numbers.
@discardableResult
package func matmul(
  _ a: QuantizedTensor, _ b: QuantizedTensor, _ layout: Layout, output: DType = .bfloat16,
  route: ScaleRoute? = nil, into target: ProductTarget? = nil
) -> Tensor {
  checkTiles(a, b, layout)
  return matmul(.codes(a), .codes(b), layout, output: output, route: route, into: target)
}

/// A product for each expert, as for numbers; b in blocks whose period divides a matrix.
package func groupedMatmul(
  _ a: QuantizedTensor, gathering: Tensor? = nil, _ b: QuantizedTensor, _ layout: Layout, offsets: [Int],
  output: DType = .bfloat16, route: ScaleRoute? = nil
) -> Tensor {
  checkTiles(a, b, layout)
  let columns = b.shape[layout == .nt ? 1 : 2]
  let y = Tensor([gathering?.count ?? a.codes.rows, columns], output, on: a.device)
  groupedMatmul(
    .codes(a), gathering: gathering, .codes(b), layout, offsets: offsets, into: y, route: route)
  return y
}

/// Wgrad of experts, as for numbers; both operands cut into segments at `offsets`.
package func groupedWeightGradient(
  _ a: QuantizedTensor, _ b: QuantizedTensor, offsets: [Int], route: ScaleRoute? = nil,
  into target: ProductTarget
) {
  checkTiles(a, b, .tn)
  precondition(a.offsets == offsets && b.offsets == offsets, "tiles straddle experts")
  groupedWeightGradient(.codes(a), .codes(b), offsets: offsets, route: route, into: target)
}

private func checkTiles(_ a: QuantizedTensor, _ b: QuantizedTensor, _ layout: Layout) {
  let expected: (QuantizedTensor.Tiling, QuantizedTensor.Tiling) =
    layout == .tn ? (.columns, .columns) : (.rows, .blocks)
  precondition(
    a.tiling == expected.0 && b.tiling == expected.1, "\(layout) of \(a.tiling) and \(b.tiling)")
  // Sums over 128 rows of b would have two scales.
  precondition(
    layout != .nn || b.period.isMultiple(of: QuantizedTensor.tile) || b.period == b.shape[b.shape.count - 2],
    "Dgrad with blocks that are cut every \(b.period) rows")
}

extension Device {
  /// The fastest route that is exact for these operands on this level.
  func route(_ a: Operand, _ b: Operand) -> ScaleRoute {
    guard case .codes(let a) = a, case .codes(let b) = b else { return .folded }
    let panels = kernels.pointee.pair_products.element
    return panels == hadal_float32 || (a.hasPowerOfTwoScales && b.hasPowerOfTwoScales) ? .folded : .promoted
  }
}
