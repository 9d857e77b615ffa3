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
