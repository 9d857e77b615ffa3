internal import CKernels

// M, N: rows of a and b; K: their length.

/// `y [M, N] = a bᵀ` of dequantized operands as tensor cores with short accumulators compute it, float32: an emulation,
/// for studies. Each sum is cut to `bits` binary digits after every 32 products (the model and what it assumes:
/// `Sources/CKernels/limited_accumulation.c`). Sums over `interval` of k are multiplied by both scales and added in
/// float32.
///
/// Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2.
///
/// - Parameters:
///   - a: in 1 × 128 tiles.
///   - b: in 128 × 128 blocks, one matrix.
///   - bits: 2...24, the leading one included.
///   - interval: a multiple of 32; nil for one sum over all of k. Scales must not change within it.
package func limitedMatmul(_ a: QuantizedTensor, _ b: QuantizedTensor, bits: Int, interval: Int?) -> Tensor {
  let (m, n, k, device) = (a.codes.rows, b.codes.rows, a.codes.columns, a.device)
  let runs = limitedRuns(a, b, bits: bits, interval: interval ?? k)
  let y = Tensor.zeros([m, n], on: device)
  let (aMK, bNK) = (a.unscaledValues, b.unscaledValues)
  let columnScales = runs.map { b.scaleColumn($0.lowerBound) }
  let partial = Scratch(sizes: [n], threads: device.workers.threads, on: device)
  device.measured(
    "limited matmul", .gemm, bytes: a.byteCount + b.byteCount + y.byteCount,
    flops: 2 * Double(m) * Double(n) * Double(k)
  ) {
    device.workers.forEachRange(m, grain: 1) { rows, thread in
      let sums = partial.buffers(thread)[0]
      for i in rows {
        for (run, columnScale) in zip(runs, columnScales) {
          hadal_limited_products(
            aMK.floats.baseAddress! + i * k + run.lowerBound, bNK.floats.baseAddress! + run.lowerBound, k, n,
            run.count, Int32(bits), sums)
          let row = y.floats.baseAddress! + i * n
          let rowScale = a.scales.floats[i * a.scales.columns + a.tile(run.lowerBound)]
          for j in 0..<n { row[j] += sums[j] * rowScale * columnScale[a.tile(j)] }
        }
      }
    }
  }
  return y
}

/// What is summed before it is promoted.
private func limitedRuns(
  _ a: QuantizedTensor, _ b: QuantizedTensor, bits: Int, interval: Int
) -> [Range<Int>] {
  let k = a.codes.columns
  precondition(
    a.tiling == .rows && b.tiling == .blocks && b.codes.columns == k && b.period == b.codes.rows,
    "\(a.tiling) of \(a.shape) by \(b.tiling) of \(b.shape) with period \(b.period)")
  precondition(2...24 ~= bits, "an accumulator of \(bits) bits")
  precondition(
    interval > 0 && (interval >= k || interval.isMultiple(of: 32)), "promotion every \(interval)")
  let runs = stride(from: 0, to: k, by: interval).map { $0..<min($0 + interval, k) }
  precondition(
    runs.allSatisfy { a.hasOneScale(in: $0) && b.hasOneScale(in: $0) },
    "scales change within the \(interval) of k that are summed before they are multiplied")
  return runs
}

extension QuantizedTensor {
  /// The tile along k that this index is in.
  fileprivate func tile(_ index: Int) -> Int { index / Self.tile }

  /// Whether, in every row of scales, the tiles that the range touches have the same.
  fileprivate func hasOneScale(in range: Range<Int>) -> Bool {
    let (factors, tiles) = (scales.floats, tile(range.lowerBound)...tile(range.upperBound - 1))
    return tiles.count == 1
      || (0..<scales.rows).allSatisfy { row in
        let first = row * scales.columns
        return tiles.allSatisfy { factors[first + $0] == factors[first + tiles.lowerBound] }
      }
  }

  /// Of blocks: the scales of all rows at one index along k.
  fileprivate func scaleColumn(_ index: Int) -> [Float] {
    (0..<scales.rows).map { scales.floats[$0 * scales.columns + tile(index)] }
  }

  /// The values of the codes alone, float32.
  fileprivate var unscaledValues: Tensor {
    let (y, width) = (Tensor(shape, on: device), codes.columns)
    let kernel = device.typed(.float32).decode_e4m3!
    device.forEachRows(codes.rows, width: width) { rows in
      kernel(
        codePointer + rows.lowerBound * width, width, nil, rows.count, width, nil, 0, 0, Self.tile,
        y.row(rows.lowerBound), width)
    }
    return y
  }
}
