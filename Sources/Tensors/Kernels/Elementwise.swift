internal import CKernels

/// `a + b`, element by element; rounded once.
package func add(_ a: Tensor, _ b: Tensor) -> Tensor {
  let y = Tensor(a.shape, a.dtype, on: a.device)
  add(a, b, into: y)
  return y
}

/// `y = a + b`; y may be a or b.
package func add(_ a: Tensor, _ b: Tensor, into y: Tensor) {
  precondition(
    a.count == b.count && a.dtype == b.dtype && y.count == a.count && y.dtype == a.dtype,
    "add: \(a.shape) \(a.dtype), \(b.shape) \(b.dtype) into \(y.shape) \(y.dtype)")
  let (kernel, width) = (a.device.typed(a.dtype).add!, a.dtype.byteCount)
  let (ap, bp, yp) = (a.pointer, b.pointer, y.pointer)
  a.device.measured("add", bytes: 3 * y.byteCount) {
    a.device.workers.forEachRange(a.count, grain: elementGrain) { range in
      let offset = range.lowerBound * width
      kernel(ap + offset, bp + offset, yp + offset, range.count)
    }
  }
}

/// `a = weight · silu(gate) · up` of rows `h = [gate | up]`; weight `[R]` float32, or nil for 1.
package func swiglu(_ hR2I: Tensor, weight: Tensor? = nil) -> Tensor {
  let inner = hR2I.columns / 2
  let a = Tensor([hR2I.rows, inner], hR2I.dtype, on: hR2I.device)
  let (kernel, w) = (hR2I.device.typed(hR2I.dtype).swiglu!, weight?.floats.baseAddress)
  hR2I.device.measured("SwiGLU", bytes: hR2I.byteCount + a.byteCount + (weight?.byteCount ?? 0)) {
    hR2I.device.forEachRows(hR2I.rows, width: inner) { range in
      let first = range.lowerBound
      kernel(hR2I.row(first), w.map { $0 + first }, a.row(first), range.count, inner)
    }
  }
  return a
}

/// The gradients of ``swiglu(_:weight:)``: `dh [R, 2I]`; with a weight also `dweight [R]` and `a`, computed anew.
package func swigluGradient(
  _ daRI: Tensor, _ hR2I: Tensor, weight: Tensor? = nil
) -> (dh: Tensor, dweight: Tensor?, a: Tensor?) {
  let inner = daRI.columns
  let dh = Tensor(hR2I.shape, hR2I.dtype, on: hR2I.device)
  let a = weight.map { _ in Tensor(daRI.shape, daRI.dtype, on: hR2I.device) }
  let dweight = weight.map { _ in Tensor([hR2I.rows], on: hR2I.device) }
  let kernel = hR2I.device.typed(hR2I.dtype).swiglu_gradient!
  let (w, dw) = (weight?.floats.baseAddress, dweight?.floats.baseAddress)
  let bytes = 2 * dh.byteCount + daRI.byteCount + (a?.byteCount ?? 0) + 2 * (weight?.byteCount ?? 0)
  hR2I.device.measured("SwiGLU gradient", bytes: bytes) {
    hR2I.device.forEachRows(hR2I.rows, width: 2 * inner) { range in
      let first = range.lowerBound
      kernel(
        daRI.row(first), hR2I.row(first), w.map { $0 + first }, dh.row(first), a?.row(first),
        dw.map { $0 + first }, range.count, inner)
    }
  }
  return (dh, dweight, a)
}
