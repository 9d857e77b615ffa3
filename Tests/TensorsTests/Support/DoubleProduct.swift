import Tensors

/// `y(i, j) = Σ_p a(i, p) b(p, j)`, m × n sums over k in Double; a and b as the layout has them, from these
/// offsets on.
func doubleProduct(
  _ a: [Float], _ b: [Float], _ layout: Layout, m: Int, n: Int, k: Int, aAt: Int = 0, bAt: Int = 0
) -> [Double] {
  let (aRow, aColumn) = layout == .tn ? (1, m) : (k, 1)
  let (bRow, bColumn) = layout == .nt ? (1, k) : (n, 1)
  var y = [Double](repeating: 0, count: m * n)
  a.withUnsafeBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      for i in 0..<m {
        for j in 0..<n {
          var (sum, p) = (0.0, 0)
          while p < k {
            sum += Double(a[aAt + i * aRow + p * aColumn]) * Double(b[bAt + p * bRow + j * bColumn])
            p += 1
          }
          y[i * n + j] = sum
        }
      }
    }
  }
  return y
}
