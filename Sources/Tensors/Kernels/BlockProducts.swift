internal import CKernels

/// Products of small float32 blocks on one thread, for attention: the panel kernels without the blocking around them.
struct BlockProducts {
  let kernels: hadal_product_kernels
  /// Where a panel of A is packed when it cannot be read in place.
  let scratch: UnsafeMutablePointer<Float>

  /// Packed columns of B, all k.
  struct Panels {
    let base: UnsafeMutablePointer<Float>
    /// Bytes from a panel to the next, and from a k to the next.
    let panelBytes, rowBytes: Int
  }

  /// The floats that hold packed `[k, n]`, and those of a panel of A.
  static func panelFloats(_ kernels: hadal_product_kernels, k: Int, n: Int) -> Int {
    kernels.padded(k) * kernels.paddedColumns(n)
  }
  static func scratchFloats(_ kernels: hadal_product_kernels, k: Int) -> Int {
    kernels.padded(k) * Int(kernels.rows)
  }

  /// Packs b `[k, n]`, or `[n, k]` when transposed.
  func pack(
    _ b: UnsafeRawPointer, _ dtype: DType, _ ldb: Int, transposed: Bool, k: Int, n: Int,
    into panels: UnsafeMutablePointer<Float>
  ) -> Panels {
    kernels.packing(dtype).b(transposed, b, ldb, nil, k, n, panels)
    let rowBytes = Int(kernels.columns) * kernels.elementBytes
    return Panels(base: panels, panelBytes: kernels.padded(k) * rowBytes, rowBytes: rowBytes)
  }

  /// `c[rows, n] (+)= a[rows, k] b` for up to a panel of rows; a is float32.
  ///
  /// - Parameters:
  ///   - transposed: a is `[k, rows]` in memory.
  ///   - k: the range of b's k that is summed; its start a multiple of 32. a starts at its first.
  ///   - columns: b's columns from this panel's start on.
  func multiply(
    _ a: UnsafePointer<Float>, _ lda: Int, transposed: Bool = false, rows: Int, _ b: Panels, k: Range<Int>,
    columns: Range<Int>, _ c: UnsafeMutableRawPointer, _ ldc: Int, _ output: hadal_output
  ) {
    let panel = columns.lowerBound / Int(kernels.columns)
    let packed = UnsafeRawPointer(b.base) + panel * b.panelBytes + k.lowerBound * b.rowBytes
    let stride = b.panelBytes / kernels.elementBytes
    if !transposed, kernels.element == hadal_float32 {
      kernels.multiply(
        rows, k.count, a, lda, 1, packed, stride, Int(kernels.columns), columns.count, nil, c, ldc, output)
      return
    }
    kernels.float32.a(transposed, a, lda, nil, k.count, rows, scratch)
    let isColumnwise = transposed && kernels.element == hadal_float32
    kernels.multiply(
      rows, k.count, scratch, isColumnwise ? 1 : kernels.padded(k.count),
      isColumnwise ? Int(kernels.rows) : 1, packed, stride, Int(kernels.columns), columns.count, nil, c,
      ldc, output)
  }
}
