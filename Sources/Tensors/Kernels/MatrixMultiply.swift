/// Which operands are transposed, as BLAS and DeepGEMM write it: first letter the left, second the right.
package enum Layout: Sendable {
  /// `y[M, N] = a[M, K] b[N, K]ᵀ`: Fprop.
  case nt
  /// `y[M, N] = a[M, K] b[K, N]`: Dgrad.
  case nn
  /// `y[M, N] = a[K, M]ᵀ b[K, N]`: Wgrad.
  case tn

  /// (M, N, K) of matrices with these shapes; nil when the inner sizes differ.
  fileprivate func sizes(_ a: (Int, Int), _ b: (Int, Int)) -> (m: Int, n: Int, k: Int)? {
    let (m, k) = self == .tn ? (a.1, a.0) : a
    let (n, inner) = self == .nt ? b : (b.1, b.0)
    return k == inner ? (m, n, k) : nil
  }
}

/// Where a product goes: an array that it is added to, or whose elements it all overwrites.
package typealias ProductTarget = (sums: Tensor, accumulate: Bool)

/// `y = a b` in the given layout; sums in float32.
///
/// - Parameters:
///   - output: how y is stored; a's type when nil.
///   - target: where y goes, and whether it is added there (float32 only); a new tensor when nil.
///   - packed: what keeps the panels of b; nil to pack it for this product alone.
@discardableResult
package func matmul(
  _ a: Tensor, _ b: Tensor, _ layout: Layout, output: DType? = nil, into target: ProductTarget? = nil,
  packed: PackedWeights? = nil
) -> Tensor {
  matmul(.numbers(a), .numbers(b), layout, output: output ?? a.dtype, into: target, packed: packed)
}

func matmul(
  _ a: Operand, _ b: Operand, _ layout: Layout, output: DType, route: ScaleRoute? = nil,
  into target: ProductTarget? = nil, packed: PackedWeights? = nil
) -> Tensor {
  let (left, right) = (a.tensor, b.tensor)
  guard let size = layout.sizes((left.rows, left.columns), (right.rows, right.columns)) else {
    preconditionFailure("matmul \(layout): inner sizes differ: \(left.shape) \(right.shape)")
  }
  precondition(size.k > 0, "matmul \(layout): nothing to sum: \(left.shape) \(right.shape)")
  let y = target?.sums ?? Tensor([size.m, size.n], output, on: left.device)
  precondition(y.count == size.m * size.n, "matmul \(layout): \(y.shape) is not [\(size.m), \(size.n)]")
  let product = Product(
    a: 0, b: 0, y: 0, m: size.m, n: size.n, k: size.k, lda: left.columns, ldb: right.columns, ldy: size.n)
  multiply(
    [product], a, b, into: (y, target?.accumulate ?? false), layout, route: route, packed: packed)
  return y
}

/// A product for each expert: rows `offsets[e]..<offsets[e + 1]` of `a [R, K]` with `b[e]`, giving `y [R, N]`.
/// Layouts: `.nt` with `b [E, N, K]` (Fprop), `.nn` with `b [E, K, N]` (Dgrad). Empty groups are fine.
/// - Parameters:
///   - gathering: `[R]` int32: row r is `a[gathering[r]]`, read where it stands; nil for `a[r]`.
///   - packed: what keeps the panels of b; nil to pack it for this product alone.
package func groupedMatmul(
  _ a: Tensor, gathering: Tensor? = nil, _ b: Tensor, _ layout: Layout, offsets: [Int],
  packed: PackedWeights? = nil
) -> Tensor {
  let y = Tensor([gathering?.count ?? a.rows, b.shape[layout == .nt ? 1 : 2]], a.dtype, on: a.device)
  groupedMatmul(
    .numbers(a), gathering: gathering, .numbers(b), layout, offsets: offsets, into: y, packed: packed)
  return y
}

/// What comes after a product in the same loop, and what it is called in the profile; bytes beside the product's.
typealias ProductFinish = (name: String, bytes: Int, body: RowWork)

/// As ``groupedMatmul(_:gathering:_:_:offsets:packed:)`` into `y`; `finish` is done with rows that are complete.
func groupedMatmul(
  _ a: Operand, gathering: Tensor?, _ b: Operand, _ layout: Layout, offsets: [Int], into y: Tensor,
  route: ScaleRoute? = nil, packed: PackedWeights? = nil, finish: ProductFinish? = nil
) {
  let (left, right) = (a.tensor, b.tensor)
  let (rows, columns) = (right.shape[1], right.shape[2])
  let (n, k) = layout == .nt ? (rows, columns) : (columns, rows)
  precondition(layout != .tn && left.columns == k, "groupedMatmul \(layout): \(left.shape) \(right.shape)")
  let index = gathering?.elements(Int32.self).baseAddress.map { UnsafePointer($0) }
  let products = (0..<right.shape[0]).map { e in
    Product(
      a: index == nil ? offsets[e] * k : 0, b: e * n * k, y: offsets[e] * n, m: offsets[e + 1] - offsets[e],
      n: n,
      k: k, lda: k, ldb: columns, ldy: n, aRows: index.map { $0 + offsets[e] })
  }
  withExtendedLifetime(gathering) {
    multiply(products, a, b, into: (y, false), layout, route: route, packed: packed, finish)
  }
}

/// Wgrad of experts: `y[e] (+)= a[rows of e]ᵀ b[rows of e]`, with `a [R, M]`, `b [R, N]`, `y [E, M, N]` float32.
/// - Parameter rows: `[R]` int32 for a and for b: row r is that of this number, read where it stands; nil for r.
package func groupedWeightGradient(
  _ a: Tensor, _ b: Tensor, gathering rows: (a: Tensor?, b: Tensor?) = (nil, nil), offsets: [Int],
  into target: ProductTarget
) {
  groupedWeightGradient(.numbers(a), .numbers(b), gathering: rows, offsets: offsets, into: target)
}

func groupedWeightGradient(
  _ left: Operand, _ right: Operand, gathering rows: (a: Tensor?, b: Tensor?) = (nil, nil), offsets: [Int],
  route: ScaleRoute? = nil, into target: ProductTarget
) {
  let (a, b) = (left.tensor, right.tensor)
  let (m, n) = (a.columns, b.columns)
  precondition(
    target.sums.shape[1...] == [m, n] && (rows.a?.count ?? a.rows) == (rows.b?.count ?? b.rows),
    "Wgrad: \(a.shape) \(b.shape) into \(target.sums.shape)")
  let address = { (index: Tensor?) in
    index?.elements(Int32.self).baseAddress.map { UnsafePointer<Int32>($0) }
  }
  let (aRows, bRows) = (address(rows.a), address(rows.b))
  let products = (0..<target.sums.shape[0]).map { e in
    Product(
      a: aRows == nil ? offsets[e] * m : 0, b: bRows == nil ? offsets[e] * n : 0, y: e * m * n, m: m, n: n,
      k: offsets[e + 1] - offsets[e], lda: m, ldb: n, ldy: n, aRows: aRows.map { $0 + offsets[e] },
      bRows: bRows.map { $0 + offsets[e] })
  }
  withExtendedLifetime(rows) { multiply(products, left, right, into: target, .tn, route: route) }
}

/// Every matrix product of the project comes through here.
private func multiply(
  _ products: [Product], _ a: Operand, _ b: Operand, into target: ProductTarget, _ layout: Layout,
  route: ScaleRoute?, packed: PackedWeights? = nil, _ finish: ProductFinish? = nil
) {
  let (y, accumulate) = target
  precondition(!accumulate || y.dtype == .float32, "only float32 is accumulated, not \(y.dtype)")
  checkTiles(a, b, layout)
  precondition(
    packed == nil || packed?.weight.pointer == b.tensor.pointer,
    "panels of a weight \(packed?.weight.shape ?? []), read as \(b.tensor.shape)")
  // An expert without rows adds nothing, but overwrites with zeros.
  let products = products.filter { $0.m > 0 && $0.n > 0 && ($0.k > 0 || !accumulate) }
  let promotes = (route ?? y.device.route(a, b)) == .promoted
  let loop = ProductLoop(
    a, b, into: y, layout, promotes: promotes, packed: packed, accumulates: accumulate, finish: finish?.body)
  loop.fillKeptPanels(products)
  let name = "matmul \(layout)" + (a.tensor.dtype == .float8 ? " FP8" : "")
  y.device.measured(
    finish.map { "\(name), \($0.name)" } ?? name, .gemm,
    bytes: a.byteCount + (loop.kept?.byteCount ?? b.byteCount) + y.byteCount * (accumulate ? 2 : 1)
      + (finish?.bytes ?? 0),
    flops: products.reduce(0) { $0 + $1.flops }
  ) {
    loop.run(products)
  }
}
