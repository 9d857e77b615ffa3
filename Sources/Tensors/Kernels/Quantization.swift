internal import CKernels

// Quantizers: `code = E4M3(x / scale)`, to nearest, ties to even, a true division. NaN and infinity become NaN codes, so
// that they are seen, and have no part in the scale of their tile, whose other elements keep their values.

/// 1 × 128 tiles along the rows of x `[.., C]`, float32 or bfloat16.
/// - Parameter statistics: counts what happens, where it is asked for.
package func quantizeRows(
  _ x: Tensor, _ settings: ScaleSettings, statistics: QuantizationStatistics? = nil
) -> QuantizedTensor {
  let (device, width) = (x.device, x.columns)
  let y = QuantizedTensor(x.shape, .rows, hasPowerOfTwoScales: settings.powerOfTwo, on: device)
  let kernel = device.typed(x.dtype).quantize_rows!
  let (codes, scales) = (y.codePointer, y.scales.floats.baseAddress!)
  let tiles = QuantizedTensor.tiles(width)
  device.measured("quantize rows", bytes: x.byteCount + y.byteCount) {
    let grain = max(1, elementGrain / max(width, 1))
    device.forEachRange(x.rows, grain: grain, counting: x.count, in: statistics) { range, counts in
      let first = range.lowerBound
      withUnsafePointer(to: settings.rule) { rule in
        kernel(x.row(first), range.count, width, rule, codes + first * width, scales + first * tiles, counts)
      }
    }
  }
  return y
}

/// 128 × 128 blocks of the matrices of w `[.., C]`, float32 or bfloat16.
/// - Parameters:
///   - period: the rows of each matrix; they lie one after the other.
///   - target: what is overwritten, of the same shape, period and kind of scales; nil for new memory.
package func quantizeBlocks(
  _ w: Tensor, period: Int, _ settings: ScaleSettings, into target: QuantizedTensor? = nil,
  statistics: QuantizationStatistics? = nil
) -> QuantizedTensor {
  let (device, width, tile) = (w.device, w.columns, QuantizedTensor.tile)
  let y =
    target
    ?? QuantizedTensor(
      w.shape, .blocks, hasPowerOfTwoScales: settings.powerOfTwo, period: period, on: device)
  precondition(
    y.tiling == .blocks && y.shape == w.shape && y.period == period
      && y.hasPowerOfTwoScales == settings.powerOfTwo,
    "blocks of \(w.shape) with period \(period) into \(y.tiling) of \(y.shape) with period \(y.period)")
  let kernel = device.typed(w.dtype).quantize_block!
  let (codes, scales) = (y.codePointer, y.scales.floats.baseAddress!)
  let (down, across) = (QuantizedTensor.tiles(period), QuantizedTensor.tiles(width))
  device.measured("quantize blocks", bytes: w.byteCount + y.byteCount) {
    device.forEachRange(y.scales.count, grain: 1, counting: w.count, in: statistics) { range, counts in
      withUnsafePointer(to: settings.rule) { rule in
        for block in range {
          let (rowOfBlocks, column) = (block / across, block % across * tile)
          let begin = rowOfBlocks % down * tile
          let place = (rowOfBlocks / down * period + begin) * width + column
          kernel(
            w.pointer + place * w.dtype.byteCount, width, min(tile, period - begin),
            min(tile, width - column), rule, codes + place, width, scales + block, counts)
        }
      }
    }
  }
  return y
}

extension ScaleSettings {
  var rule: hadal_scale_rule { hadal_scale_rule(amax_floor: amaxFloor, power_of_two: powerOfTwo) }
}

extension QuantizedTensor {
  var codePointer: UnsafeMutablePointer<UInt8> { codes.pointer.assumingMemoryBound(to: UInt8.self) }
}
