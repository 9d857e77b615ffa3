internal import CKernels

/// 128 × 1 tiles down the rows of each segment of x `[R, C]`, float32 or bfloat16.
/// - Parameters:
///   - offsets: the first row of each segment, and the end; nil for one segment.
///   - gathering: `[R']` int32, checked by who made it: row r of the result is that of `x[gathering[r]]`, and the
///     offsets count rows of the result.
///   - statistics: counts what happens, where it is asked for.
package func quantizeColumns(
  _ x: Tensor, offsets: [Int]? = nil, gathering: Tensor? = nil, _ settings: ScaleSettings,
  statistics: QuantizationStatistics? = nil
) -> QuantizedTensor {
  let y = columnResult(x, offsets: offsets, gathering: gathering, settings)
  let kernel = x.device.typed(x.dtype).quantize_columns!
  let width = x.columns
  x.device.measured("quantize columns", bytes: y.codes.count * x.dtype.byteCount + y.byteCount) {
    forEachStrip(of: y, gathering, settings, (statistics, nil)) { strip, rule, counts, _ in
      let x = x.pointer + (strip.firstRow * width + strip.column) * x.dtype.byteCount
      kernel(x, width, strip.index, strip.rows, strip.width, rule, strip.codes, width, strip.scales, counts)
    }
  }
  return y
}

/// ``quantizeColumns(_:offsets:gathering:_:statistics:)`` of the values that x, in tiles along rows, stands for, without
/// an array of them.
package func requantizeColumns(
  _ x: QuantizedTensor, offsets: [Int]? = nil, gathering: Tensor? = nil, _ settings: ScaleSettings,
  statistics: QuantizationStatistics? = nil
) -> QuantizedTensor {
  precondition(x.tiling == .rows, "\(x.tiling) cannot become columns, only rows can")
  let y = columnResult(x.codes, offsets: offsets, gathering: gathering, settings)
  let kernel = x.device.kernels.pointee.requantize_columns!
  let (codes, scales) = (x.codePointer, x.scales.floats.baseAddress!)
  let (width, tiles) = (x.codes.columns, x.scales.columns)
  x.device.measured("requantize columns", bytes: y.codes.count + x.scales.byteCount + y.byteCount) {
    forEachStrip(of: y, gathering, settings, (statistics, nil)) { strip, rule, counts, _ in
      kernel(
        codes + strip.firstRow * width + strip.column, width,
        scales + strip.firstRow * tiles + strip.column / QuantizedTensor.tile, tiles, strip.index, strip.rows,
        strip.width, rule, strip.codes, width, strip.scales, counts)
    }
  }
  return y
}

/// ``quantizeRows(_:_:statistics:)`` and ``quantizeColumns(_:offsets:gathering:_:statistics:)`` in one pass over x, what
/// enters a Linear backward: the first for Dgrad, the second for Wgrad.
/// - Parameters:
///   - offsets: of the columns; nil for one segment.
///   - statistics: count what happens, where they are asked for.
package func quantizeRowsAndColumns(
  _ x: Tensor, offsets: [Int]? = nil, _ settings: ScaleSettings,
  statistics: (rows: QuantizationStatistics?, columns: QuantizationStatistics?) = (nil, nil)
) -> (rows: QuantizedTensor, columns: QuantizedTensor) {
  let y = columnResult(x, offsets: offsets, gathering: nil, settings)
  let rows = QuantizedTensor(x.shape, .rows, hasPowerOfTwoScales: settings.powerOfTwo, on: x.device)
  let kernel = x.device.typed(x.dtype).quantize_panel!
  let (codes, scales) = (rows.codePointer, rows.scales.floats.baseAddress!)
  let (width, tiles) = (x.columns, rows.scales.columns)
  x.device.measured("quantize rows and columns", bytes: x.byteCount + rows.byteCount + y.byteCount) {
    forEachStrip(of: y, nil, settings, (statistics.columns, statistics.rows)) {
      strip, rule, counts, rowCounts in
      let place = strip.firstRow * width + strip.column
      var row = hadal_row_codes(
        codes: codes + place, ldc: width,
        scales: scales + strip.firstRow * tiles + strip.column / QuantizedTensor.tile, scale_row: tiles,
        counts: rowCounts)
      kernel(
        x.pointer + place * x.dtype.byteCount, width, strip.rows, strip.width, rule, &row, strip.codes, width,
        strip.scales, counts)
    }
  }
  return (rows, y)
}

private func columnResult(
  _ x: Tensor, offsets: [Int]?, gathering: Tensor?, _ settings: ScaleSettings
) -> QuantizedTensor {
  QuantizedTensor(
    [gathering?.count ?? x.rows, x.columns], .columns, hasPowerOfTwoScales: settings.powerOfTwo,
    offsets: offsets, on: x.device)
}

/// One tile of some columns.
private struct ColumnStrip {
  /// The rows to read: `rows` from `firstRow` on, or those that `index` names.
  let firstRow: Int
  let index: UnsafePointer<Int32>?
  let rows: Int
  let column, width: Int
  let codes: UnsafeMutablePointer<UInt8>
  let scales: UnsafeMutablePointer<Float>
}

/// Shares tiles of a multiple of 128 columns over the threads.
private func forEachStrip(
  of y: QuantizedTensor, _ gathering: Tensor?, _ settings: ScaleSettings,
  _ statistics: (columns: QuantizationStatistics?, rows: QuantizationStatistics?),
  _ body: (
    ColumnStrip, UnsafePointer<hadal_scale_rule>, _ columns: UnsafeMutablePointer<hadal_quantization_counts>?,
    _ rows: UnsafeMutablePointer<hadal_quantization_counts>?
  ) -> Void
) {
  // 128 rows of 256 columns: some ten microseconds of work, and long enough pieces of a row to be read fast.
  let stripWidth = 2 * QuantizedTensor.tile
  let (width, tiles) = (y.codes.columns, y.columnTiles)
  let strips = (width + stripWidth - 1) / stripWidth
  let (codes, scales) = (y.codePointer, y.scales.floats.baseAddress!)
  let index = gathering.map { UnsafePointer($0.integers) }
  let items = tiles.count * strips
  y.device.forEachRange(items, grain: 1, counting: y.codes.count, in: statistics) {
    range, columns, rowCounts in
    withUnsafePointer(to: settings.rule) { rule in
      for item in range {
        let (tile, column) = (item / strips, item % strips * stripWidth)
        let rows = tiles[tile]
        let strip = ColumnStrip(
          firstRow: index == nil ? rows.lowerBound : 0, index: index.map { $0 + rows.lowerBound },
          rows: rows.count, column: column, width: min(stripWidth, width - column),
          codes: codes + rows.lowerBound * width + column, scales: scales + tile * width + column)
        body(strip, rule, columns, rowCounts)
      }
    }
  }
}
