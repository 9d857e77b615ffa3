internal import CKernels

// R rows (of expert groups), D width, I inner width.

/// `a = weight · silu(gate) · up` of rows `h = [gate | up]`; weight `[R]` float32, or nil for 1.
package func swiglu(_ hR2I: Tensor, weight: Tensor? = nil) -> Tensor {
  let inner = hR2I.columns / 2
  let a = Tensor([hR2I.rows, inner], hR2I.dtype, on: hR2I.device)
  let rows = swigluRows(hR2I, weight, a)
  hR2I.device.measured("SwiGLU", bytes: hR2I.byteCount + a.byteCount + (weight?.byteCount ?? 0)) {
    hR2I.device.forEachRows(hR2I.rows, width: inner, rows)
  }
  return a
}

/// The gradients of ``swiglu(_:weight:)``: `dh [R, 2I]`; with a weight also `dweight [R]` and `a`, computed anew.
package func swigluGradient(
  _ daRI: Tensor, _ hR2I: Tensor, weight: Tensor? = nil
) -> (dh: Tensor, dweight: Tensor?, a: Tensor?) {
  let dh = Tensor(hR2I.shape, hR2I.dtype, on: hR2I.device)
  let a = weight.map { _ in Tensor(daRI.shape, daRI.dtype, on: hR2I.device) }
  let dweight = weight.map { _ in Tensor([hR2I.rows], on: hR2I.device) }
  let rows = swigluGradientRows(daRI, hR2I, weight, dh, a, dweight)
  let bytes = 2 * dh.byteCount + daRI.byteCount + (a?.byteCount ?? 0) + 2 * (weight?.byteCount ?? 0)
  hR2I.device.measured("SwiGLU gradient", bytes: bytes) {
    hR2I.device.forEachRows(hR2I.rows, width: 2 * daRI.columns, rows)
  }
  return (dh, dweight, a)
}

/// `h = x W_gate_upᵀ` of each expert, and `a = weight · silu(gate) · up` of its rows while they are in the cache.
///
/// x `[·, D]`, whose rows `gathering [R]` picks; `W_gate_up [E, 2I, D]`, weight `[R]`; h `[R, 2I]`, a `[R, I]`.
/// - Parameter packed: what keeps the panels of `W_gate_up`; nil to pack it for this product alone.
package func groupedSwiGLU(
  _ x: Tensor, gathering: Tensor, _ gateUp: Tensor, weight: Tensor, offsets: [Int],
  packed: PackedWeights? = nil
) -> (h: Tensor, a: Tensor) {
  let (rows, width, device) = (gathering.count, gateUp.shape[1], x.device)
  let h = Tensor([rows, width], x.dtype, on: device)
  let a = Tensor([rows, width / 2], x.dtype, on: device)
  let finish = swigluRows(h, weight, a)
  groupedMatmul(
    .numbers(x), gathering: gathering, .numbers(gateUp), .nt, offsets: offsets, into: h, packed: packed,
    finish: ("SwiGLU", a.byteCount + weight.byteCount, finish))
  return (h, a)
}

/// `da = dy W_down` of each expert, and the gradients of SwiGLU of its rows while they are in the cache.
///
/// dy `[·, D]`, whose rows `gathering [R]` picks; `W_down [E, D, I]`; h and weight as in
/// ``groupedSwiGLU(_:gathering:_:weight:offsets:packed:)``, results as in ``swigluGradient(_:_:weight:)``.
/// - Parameter packed: what keeps the panels of `W_down`; nil to pack it for this product alone.
package func groupedSwiGLUGradient(
  _ dy: Tensor, gathering: Tensor, _ down: Tensor, h: Tensor, weight: Tensor, offsets: [Int],
  packed: PackedWeights? = nil
) -> (dh: Tensor, dweight: Tensor, a: Tensor) {
  let (rows, inner, device) = (gathering.count, down.shape[2], dy.device)
  precondition(h.shape == [rows, 2 * inner], "SwiGLU gradient: \(h.shape) is not [\(rows), \(2 * inner)]")
  let da = Tensor([rows, inner], dy.dtype, on: device)
  let (dh, a) = (Tensor(h.shape, h.dtype, on: device), Tensor(da.shape, da.dtype, on: device))
  let dweight = Tensor([rows], on: device)
  let finish = swigluGradientRows(da, h, weight, dh, a, dweight)
  groupedMatmul(
    .numbers(dy), gathering: gathering, .numbers(down), .nn, offsets: offsets, into: da, packed: packed,
    finish: ("SwiGLU gradient", 2 * h.byteCount + a.byteCount + 2 * weight.byteCount, finish))
  return (dh, dweight, a)
}

/// What computes rows of a.
private func swigluRows(_ h: Tensor, _ weight: Tensor?, _ a: Tensor) -> (Range<Int>) -> Void {
  let (kernel, w) = (h.device.typed(h.dtype).swiglu!, weight?.floats.baseAddress)
  return { rows in
    let first = rows.lowerBound
    kernel(h.row(first), w.map { $0 + first }, a.row(first), rows.count, a.columns)
  }
}

/// What computes rows of the gradients.
private func swigluGradientRows(
  _ da: Tensor, _ h: Tensor, _ weight: Tensor?, _ dh: Tensor, _ a: Tensor?, _ dweight: Tensor?
) -> (Range<Int>) -> Void {
  let kernel = h.device.typed(h.dtype).swiglu_gradient!
  let (w, dw) = (weight?.floats.baseAddress, dweight?.floats.baseAddress)
  return { rows in
    let first = rows.lowerBound
    kernel(
      da.row(first), h.row(first), w.map { $0 + first }, dh.row(first), a?.row(first), dw.map { $0 + first },
      rows.count, da.columns)
  }
}
