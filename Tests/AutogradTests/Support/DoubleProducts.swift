import Autograd

/// `‖found − exact‖ / ‖exact‖`
func relativeError(_ found: [Double], _ exact: [Double]) -> Double {
  let difference = zip(found, exact).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  return (difference / exact.reduce(0.0) { $0 + $1 * $1 }).squareRoot()
}

/// `y = x Wᵀ`, `dx = dy W` or `dW = dyᵀ x` in Double; `x [t, k]`, `dy [t, n]`, `W [n, k]`.
func product(
  _ gemm: Float8Settings.GEMM, _ x: [Float], _ dy: [Float], _ w: [Float], _ t: Int, _ n: Int, _ k: Int
) -> [Double] {
  switch gemm {
  case .fprop: sum(x, (k, 1), w, (1, k), t, n, k)
  case .dgrad: sum(dy, (n, 1), w, (k, 1), t, k, n)
  case .wgrad: sum(dy, (1, n), x, (k, 1), n, k, t)
  }
}

/// `Σ_p a(i, p) b(p, j)`, with the steps from one i and one p of a, one p and one j of b, to the next.
private func sum(
  _ a: [Float], _ aSteps: (Int, Int), _ b: [Float], _ bSteps: (Int, Int), _ m: Int, _ n: Int, _ inner: Int
) -> [Double] {
  var y = [Double](repeating: 0, count: m * n)
  a.withUnsafeBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      for i in y.indices {
        var (left, right, sum) = (i / n * aSteps.0, i % n * bSteps.1, 0.0)
        for _ in 0..<inner {
          sum += Double(a[left]) * Double(b[right])
          (left, right) = (left + aSteps.1, right + bSteps.0)
        }
        y[i] = sum
      }
    }
  }
  return y
}
