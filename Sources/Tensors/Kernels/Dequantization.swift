internal import CKernels

extension QuantizedTensor {
  /// The values, `[.., R, C]`, float32 or bfloat16. Products decode codes while they pack them, without such an array.
  package func dequantized(to dtype: DType) -> Tensor {
    let y = Tensor(shape, dtype, on: device)
    let kernel = device.typed(dtype).decode_e4m3!
    let (width, factors, runs) = (codes.columns, scales.columns, scaledRuns)
    let (source, scale) = (codePointer, scales.floats.baseAddress!)
    device.measured("dequantize", bytes: byteCount + y.byteCount) {
      device.workers.forEach(runs.count) { item in
        let (rows, scaleRow) = runs[item]
        kernel(
          source + rows.lowerBound * width, width, nil, rows.count, width, scale + scaleRow * factors,
          tiling == .rows ? factors : 0, 0, tiling == .columns ? 1 : Self.tile, y.row(rows.lowerBound), width)
      }
    }
    return y
  }

  /// Runs of rows, and the row of scales that all of them, or the first of them, have.
  private var scaledRuns: [(rows: Range<Int>, scaleRow: Int)] {
    switch tiling {
    case .rows:
      return stride(from: 0, to: codes.rows, by: Self.tile).map { ($0..<min($0 + Self.tile, codes.rows), $0) }
    case .columns: return columnTiles.enumerated().map { ($1, $0) }
    case .blocks:
      let down = Self.tiles(period)
      return (0..<scales.rows).map { row in
        let (matrix, begin) = (row / down * period, row % down * Self.tile)
        return (matrix + begin..<matrix + min(begin + Self.tile, period), row)
      }
    }
  }
}
