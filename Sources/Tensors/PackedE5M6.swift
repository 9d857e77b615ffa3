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
  let (device, y) = (x.device, PackedE5M6(uninitialized: x.shape, on: x.device))
  let rule = ScaleSettings(powerOfTwo: true, amaxFloor: amaxFloor).rule
  device.measured("pack E5M6", bytes: x.byteCount + y.byteCount) {
    let grain = max(1, elementGrain / max(x.columns, 1))
    device.forEachRange(x.rows, grain: grain, counting: x.count, in: statistics) { range, counts in
      y.pack(x, at: range, rule, counts)
    }
  }
  return y
}

/// ``quantizeRows(_:_:statistics:)`` and ``packE5M6(_:amaxFloor:statistics:)`` in one pass over x: the output of
/// attention, of which `o_proj` reads the first and backward the second.
/// - Parameter statistics: count what happens, where they are asked for.
package func quantizeRowsAndPack(
  _ x: Tensor, _ settings: ScaleSettings, amaxFloor: Float,
  statistics: (codes: QuantizationStatistics?, packed: QuantizationStatistics?) = (nil, nil)
) -> (codes: QuantizedTensor, packed: PackedE5M6) {
  let (device, packed) = (x.device, PackedE5M6(uninitialized: x.shape, on: x.device))
  let codes = QuantizedTensor(x.shape, .rows, hasPowerOfTwoScales: settings.powerOfTwo, on: device)
  let kernels = device.typed(x.dtype)
  let (rule, packedRule) = (settings.rule, ScaleSettings(powerOfTwo: true, amaxFloor: amaxFloor).rule)
  let bytes = x.byteCount + codes.byteCount + packed.byteCount
  device.measured("quantize rows, pack E5M6", bytes: bytes) {
    let grain = max(1, elementGrain / max(x.columns, 1))
    let both = (statistics.codes, statistics.packed)
    device.forEachRange(x.rows, grain: grain, counting: x.count, in: both) { range, counts, packedCounts in
      for row in range.parts(of: 1) {
        withUnsafePointer(to: rule) {
          codes.quantizeRows(x.row(row.lowerBound), at: row, kernels, $0, counts)
        }
        packed.pack(x, at: row, packedRule, packedCounts)
      }
    }
  }
  return (codes, packed)
}

extension PackedE5M6 {
  fileprivate init(uninitialized shape: [Int], on device: Device) {
    let width = shape.last ?? 1
    let rows = shape.dropLast().reduce(1, *)
    self.init(
      codes: Tensor([rows, (width + 1) / 2 * 3], .uint8, on: device),
      scales: Tensor([rows, QuantizedTensor.tiles(width)], on: device), shape: shape)
  }

  /// Overwrites rows by those of x.
  fileprivate func pack(
    _ x: Tensor, at rows: Range<Int>, _ rule: hadal_scale_rule,
    _ counts: UnsafeMutablePointer<hadal_quantization_counts>?
  ) {
    let first = rows.lowerBound
    withUnsafePointer(to: rule) { rule in
      x.device.typed(x.dtype).pack_e5m6(
        x.row(first), rows.count, x.columns, rule,
        codes.elements(UInt8.self).baseAddress! + first * codes.columns,
        scales.floats.baseAddress! + first * scales.columns, counts)
    }
  }
}
