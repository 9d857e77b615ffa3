internal import CKernels

// R rows (of expert groups), D width, I inner width. SwiGLU and quantizers work on some rows at a time, while these are
// in the first-level cache: what is quantized is not written before.

/// Rows that are worked on together.
private let rowsAtOnce = 8

/// ``swiglu(_:weight:)`` without weights, a as codes; and the codes of h where its scales are given.
/// - Parameter statistics: counts what quantizing a does, where it is asked for.
package func swiglu(
  _ hR2I: Tensor, _ coding: RowCoding, keeping hScales: ScaleSettings?,
  statistics: QuantizationStatistics? = nil
) -> (a: CodedRows, h: QuantizedTensor?) {
  let (device, inner) = (hR2I.device, hR2I.columns / 2)
  let a = RowOutput([hR2I.rows, inner], hR2I.dtype, coding, on: device)
  let kept = hScales.map {
    QuantizedTensor(hR2I.shape, .rows, hasPowerOfTwoScales: $0.powerOfTwo, on: device)
  }
  let kernels = device.typed(hR2I.dtype)
  device.measured("SwiGLU", bytes: hR2I.byteCount + a.byteCount + (kept?.byteCount ?? 0)) {
    withUnsafePointer(to: (hScales ?? coding.scales).rule) { rule in
      a.forEachRows(on: device, statistics: statistics) { rows, target in
        let h = hR2I.row(rows.lowerBound)
        kernels.swiglu(h, nil, target, rows.count, inner)
        kept?.quantizeRows(h, at: rows, kernels, rule)
      }
    }
  }
  return (a.coded!, kept)
}

/// As ``groupedSwiGLU(_:gathering:_:weight:offsets:)`` of codes: `h = x W_gate_upᵀ` of each expert, and
/// `a = weight · silu(gate) · up` as codes in 1 × 128 tiles.
///
/// - Parameters:
///   - settings: of the scales of a and h.
///   - keepsCodes: whether h is returned as codes too; else as bfloat16.
///   - statistics: counts what happens to a, where it is asked for.
package func groupedSwiGLU(
  _ x: QuantizedTensor, gathering: Tensor, _ gateUp: QuantizedTensor, weight: Tensor, offsets: [Int],
  _ settings: ScaleSettings, keepsCodes: Bool, statistics: QuantizationStatistics? = nil
) -> (h: Operand, a: QuantizedTensor) {
  let (rows, width, device) = (gathering.count, gateUp.shape[1], x.device)
  let h = Tensor([rows, width], .bfloat16, on: device)
  let a = QuantizedTensor([rows, width / 2], .rows, hasPowerOfTwoScales: settings.powerOfTwo, on: device)
  let kept =
    keepsCodes
    ? QuantizedTensor(h.shape, .rows, hasPowerOfTwoScales: settings.powerOfTwo, on: device) : nil
  precondition(weight.count == rows, "\(weight.count) weights for \(rows) rows")
  withExtendedLifetime(weight) {
    groupedMatmul(
      .codes(x), gathering: gathering, .codes(gateUp), .nt, offsets: offsets, into: h,
      finish: (
        "SwiGLU", a.byteCount + (kept?.byteCount ?? 0) + weight.byteCount,
        swigluCodes(h, weight, a, kept, settings, statistics)
      ))
  }
  return (kept.map { .codes($0) } ?? .numbers(h), a)
}

/// What computes rows of a, and quantizes those of h where they are kept as codes.
private func swigluCodes(
  _ h: Tensor, _ weight: Tensor, _ a: QuantizedTensor, _ kept: QuantizedTensor?, _ settings: ScaleSettings,
  _ statistics: QuantizationStatistics?
) -> RowWork {
  let (kernels, w, inner) = (h.device.typed(.bfloat16), weight.floats.baseAddress!, a.codes.columns)
  let shared = statistics.map { SharedStatistics($0) }
  return { rows in
    withUnsafeTemporaryAllocation(byteCount: rowsAtOnce * inner * 2, alignment: 64) { buffer in
      SharedStatistics.count(rows.count * inner, in: shared) { counts in
        withUnsafePointer(to: settings.rule) { rule in
          for part in rows.parts(of: rowsAtOnce) {
            let (first, numbers) = (part.lowerBound, buffer.baseAddress!)
            kernels.swiglu(h.row(first), w + first, numbers, part.count, inner)
            a.quantizeRows(numbers, at: part, kernels, rule, counts)
            kept?.quantizeRows(h.row(first), at: part, kernels, rule)
          }
        }
      }
    }
  }
}

/// `da = dy W_down` of each expert, and the gradients of SwiGLU of its rows: `dh [R, 2I]` and `a [R, I]`, computed anew,
/// bfloat16; `dweight [R]` float32. dy and W_down are codes; h as ``groupedSwiGLU`` gave it.
package func groupedSwiGLUGradient(
  _ dy: QuantizedTensor, gathering: Tensor, _ down: QuantizedTensor, h: Operand, weight: Tensor,
  offsets: [Int]
) -> (dh: Tensor, dweight: Tensor, a: Tensor) {
  let (rows, inner, device) = (gathering.count, down.shape[2], dy.device)
  precondition(
    h.tensor.shape == [rows, 2 * inner] && weight.count == rows,
    "h \(h.tensor.shape), weight \(weight.shape) of [\(rows), \(2 * inner)]")
  let da = Tensor([rows, inner], .bfloat16, on: device)
  let (dh, a) = (Tensor([rows, 2 * inner], .bfloat16, on: device), Tensor(da.shape, .bfloat16, on: device))
  let dweight = Tensor([rows], on: device)
  let (kernel, w) = (device.typed(.bfloat16).swiglu_gradient!, weight.floats.baseAddress!)
  let dw = dweight.floats.baseAddress!
  let finish: RowWork = { rows in
    h.forEachRows(rows, atOnce: rowsAtOnce) { part, h in
      let first = part.lowerBound
      kernel(da.row(first), h, w + first, dh.row(first), a.row(first), dw + first, part.count, inner)
    }
  }
  withExtendedLifetime(weight) {
    groupedMatmul(
      .codes(dy), gathering: gathering, .codes(down), .nn, offsets: offsets, into: da,
      finish: ("SwiGLU gradient", h.byteCount + dh.byteCount + a.byteCount + 2 * weight.byteCount, finish))
  }
  return (dh, dweight, a)
}

extension Operand {
  /// Rows as bfloat16 numbers, some at once; decoded where they are codes.
  fileprivate func forEachRows(
    _ rows: Range<Int>, atOnce: Int, _ body: (Range<Int>, UnsafeMutableRawPointer) -> Void
  ) {
    let width = tensor.columns
    let parts = rows.parts(of: atOnce)
    switch self {
    case .numbers(let tensor): for part in parts { body(part, tensor.row(part.lowerBound)) }
    case .codes(let codes):
      codes.withView { codes in
        withUnsafeTemporaryAllocation(byteCount: atOnce * width * 2, alignment: 64) { buffer in
          for part in parts {
            let source = CodeSource(
              codes: codes, rows: part, index: nil, columns: 0..<width, isScaled: true)
            source.decode(to: hadal_bfloat16, into: buffer.baseAddress!, rowLength: width)
            body(part, buffer.baseAddress!)
          }
        }
      }
    }
  }
}
