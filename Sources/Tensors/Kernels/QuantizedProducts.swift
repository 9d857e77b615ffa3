internal import CKernels

// Products of E4M3 codes; sums in float32. Tiles lie along the inner dimension, as DeepSeek-V3 has them (§3.3.2):
// a in 1 × 128 and b in 128 × 128 for Fprop and Dgrad, both in 128 × 1 for Wgrad.

/// How the scales of codes enter a product.
package enum ScaleRoute: Sendable, CaseIterable {
  /// Packing multiplies each code by its scale: exact where scales are powers of two, with one rounding to float32 where
  /// panels are.
  case folded
  /// Packing converts codes only. The sum over each 128 of k leaves the kernel, and is multiplied by both scales while
  /// it is added in float32. Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2.
  case promoted
}

/// `y = a b` of what the codes stand for, `[M, N]`; sums in float32.
///
/// - Parameters:
///   - route: how the scales enter; nil for the fastest that is exact.
///   - target: where y goes, and whether it is added there (float32 only); a new tensor when nil.
@discardableResult
package func matmul(
  _ a: QuantizedTensor, _ b: QuantizedTensor, _ layout: Layout, output: DType = .bfloat16,
  route: ScaleRoute? = nil, into target: ProductTarget? = nil
) -> Tensor {
  return matmul(.codes(a), .codes(b), layout, output: output, route: route, into: target)
}

/// A product for each expert: rows `offsets[e]..<offsets[e + 1]` of a, or those that `gathering` picks, with `b[e]`
/// (`[E, N, K]` in `.nt`, `[E, K, N]` in `.nn`), whose blocks' period divides a matrix. y `[R, N]`; sums in float32.
package func groupedMatmul(
  _ a: QuantizedTensor, gathering: Tensor? = nil, _ b: QuantizedTensor, _ layout: Layout, offsets: [Int],
  output: DType = .bfloat16, route: ScaleRoute? = nil
) -> Tensor {
  let columns = b.shape[layout == .nt ? 1 : 2]
  let y = Tensor([gathering?.count ?? a.codes.rows, columns], output, on: a.device)
  groupedMatmul(
    .codes(a), gathering: gathering, .codes(b), layout, offsets: offsets, into: y, route: route)
  return y
}

/// Wgrad of experts: `y[e] (+)= a[rows of e]ᵀ b[rows of e]`, y `[E, M, N]` float32; the tiles of a `[R, M]` and b `[R, N]`
/// are cut at `offsets`.
package func groupedWeightGradient(
  _ a: QuantizedTensor, _ b: QuantizedTensor, offsets: [Int], route: ScaleRoute? = nil,
  into target: ProductTarget
) {
  precondition(a.offsets == offsets && b.offsets == offsets, "tiles straddle experts")
  groupedWeightGradient(.codes(a), .codes(b), offsets: offsets, route: route, into: target)
}

/// Whether operands are numbers on both sides, or codes on both in the tiles that the layout has.
func checkTiles(_ a: Operand, _ b: Operand, _ layout: Layout) {
  guard case .codes(let a) = a, case .codes(let b) = b else {
    precondition(a.tensor.dtype != .float8 && b.tensor.dtype != .float8, "codes with numbers")
    return
  }
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
