internal import CKernels

/// Activations in 12 bits, `E5M6` with a power-of-two scale for each 1 × 128 tile: `value = code · scale`.
///
/// Layout: a row of C elements takes ⌈C/2⌉ · 3 bytes, two codes in three bytes as ``E5M6/packed(_:_:)`` has them; an odd
/// last code has a zero beside it.
/// Source: DeepSeek-V3, arXiv:2412.19437, §3.3.3.
package struct PackedE5M6 {
  /// `[R, ⌈C/2⌉ · 3]`, bytes.
  package let codes: Tensor
  /// `[R, ⌈C/128⌉]`, float32.
  package let scales: Tensor
  /// What was packed, `[.., C]`.
  package let shape: [Int]

  package var byteCount: Int { codes.byteCount + scales.byteCount }

  /// The values as float32 or bfloat16.
  package func unpacked(to dtype: DType) -> Tensor {
    let device = codes.device
    let y = Tensor(shape, dtype, on: device)
    let kernel = device.typed(dtype).unpack_e5m6!
    let (width, rowBytes, tiles) = (y.columns, codes.columns, scales.columns)
    let (source, factors) = (codes.elements(UInt8.self).baseAddress!, scales.floats.baseAddress!)
    device.measured("unpack E5M6", bytes: byteCount + y.byteCount) {
      device.forEachRows(y.rows, width: width) { range in
        let first = range.lowerBound
        kernel(source + first * rowBytes, factors + first * tiles, range.count, width, y.row(first))
      }
    }
    return y
  }
}

@available(*, unavailable)
extension PackedE5M6: Sendable {}

/// Packs x `[.., C]`, float32 or bfloat16: `code = E5M6(x / scale)`, to nearest, ties to even; NaN and infinity become
/// NaN.
/// - Parameters:
///   - amaxFloor: what the largest magnitude of a tile counts as at least.
///   - statistics: counts what happens, where it is asked for.
package func packE5M6(
  _ x: Tensor, amaxFloor: Float = 1e-4, statistics: QuantizationStatistics? = nil
) -> PackedE5M6 {
  let (device, width) = (x.device, x.columns)
  let rowBytes = (width + 1) / 2 * 3
  let codes = Tensor([x.rows, rowBytes], .uint8, on: device)
  let scales = Tensor([x.rows, QuantizedTensor.tiles(width)], on: device)
  let y = PackedE5M6(codes: codes, scales: scales, shape: x.shape)
  let kernel = device.typed(x.dtype).pack_e5m6!
  let settings = ScaleSettings(powerOfTwo: true, amaxFloor: amaxFloor)
  let (target, factors) = (codes.elements(UInt8.self).baseAddress!, scales.floats.baseAddress!)
  let tiles = scales.columns
  device.measured("pack E5M6", bytes: x.byteCount + y.byteCount) {
    let grain = max(1, elementGrain / max(width, 1))
    device.forEachRange(x.rows, grain: grain, counting: x.count, in: statistics) { range, counts in
      let first = range.lowerBound
      withUnsafePointer(to: settings.rule) { rule in
        kernel(
          x.row(first), range.count, width, rule, target + first * rowBytes, factors + first * tiles, counts)
      }
    }
  }
  return y
}
