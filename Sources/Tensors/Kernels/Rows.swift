internal import CKernels

/// `y[i] = x[index[i]]`, row by row. The indices were checked by who made them.
package func gatherRows(_ x: Tensor, _ index: Tensor) -> Tensor {
  let y = Tensor([index.count, x.columns], x.dtype, on: x.device)
  let (kernel, width) = (x.device.typed(x.dtype).gather_rows!, x.columns)
  let indices = index.elements(Int32.self).baseAddress
  x.device.measured("gather rows", bytes: 2 * y.byteCount + index.byteCount) {
    x.device.forEachRows(index.count, width: width) { range in
      kernel(x.pointer, indices! + range.lowerBound, y.row(range.lowerBound), range.count, width)
    }
  }
  return y
}

/// `y[t] = Σ_k x[position[t, k]]`; sums in float32.
package func combineRows(_ x: Tensor, positions: Tensor) -> Tensor {
  let (tokens, selected, width) = (positions.rows, positions.columns, x.columns)
  let y = Tensor([tokens, width], x.dtype, on: x.device)
  let (kernel, places) = (x.device.typed(x.dtype).combine_rows!, positions.elements(Int32.self).baseAddress)
  x.device.measured("combine rows", bytes: (selected + 1) * y.byteCount + positions.byteCount) {
    x.device.forEachRows(tokens, width: width * selected) { range in
      let first = range.lowerBound
      kernel(x.pointer, places! + first * selected, y.row(first), range.count, selected, width)
    }
  }
  return y
}

/// `y[t] = x[t]` where `keeps[t]`, else 0.
package func maskRows(_ x: Tensor, _ keeps: [Bool]) -> Tensor {
  precondition(x.rows == keeps.count, "a mask of \(keeps.count) rows for \(x.shape)")
  let y = Tensor(x.shape, x.dtype, on: x.device)
  let (kernel, width) = (x.device.typed(x.dtype).mask_rows!, x.columns)
  x.device.measured("mask rows", bytes: 2 * x.byteCount) {
    keeps.withUnsafeBufferPointer { keeps in
      x.device.forEachRows(x.rows, width: width) { range in
        let first = range.lowerBound
        kernel(x.row(first), keeps.baseAddress! + first, y.row(first), range.count, width)
      }
    }
  }
  return y
}

/// `sum[id[t]] += x[t]` without a dense intermediate: tokens are sorted by id, each id is one thread's.
/// - Parameters:
///   - ids: `[T]` int32, checked by who made them.
///   - accumulate: false when sum `[V, D]` holds anything and is to be overwritten, rows without a token by zeros.
package func scatterAddRows(_ x: Tensor, ids: Tensor, into sum: Tensor, accumulate: Bool = true) {
  let (count, width, device) = (ids.count, x.columns, x.device)
  guard count > 0 else { return accumulate ? () : sum.fillWithZeros() }
  let kernel = device.typed(x.dtype).scatter_rows!
  let work = Tensor([3 * count + 1], .int32, on: device)
  let (order, start) = (work.integers, work.integers + 2 * count)
  device.measured("scatter add rows", bytes: x.byteCount + (accumulate ? 2 * x.byteCount : sum.byteCount)) {
    let runs = device.kernels.pointee.sort_by_id(ids.integers, count, order, order + count, start)
    device.forEachRows(runs, width: width * 4) { range in
      kernel(
        x.pointer, ids.integers, order, start, runs, range.lowerBound, range.upperBound, accumulate,
        sum.floats.baseAddress, sum.rows, width)
    }
  }
}

extension Tensor {
  /// The first place of an int32 tensor that holds a number outside of 0..<limit; nil when there is none.
  package func firstOutside(_ limit: Int) -> Int? {
    let place = device.kernels.pointee.first_outside(integers, count, Int32(limit))
    return place < count ? place : nil
  }
}

/// Columns `begin..<begin + width` of x as a matrix of their own.
package func columns(_ x: Tensor, from begin: Int, width: Int) -> Tensor {
  let y = Tensor([x.rows, width], x.dtype, on: x.device)
  copyColumns(x, from: begin, into: y, at: 0, width: width)
  return y
}

/// Copies a block of columns between matrices with as many rows.
package func copyColumns(_ x: Tensor, from begin: Int, into y: Tensor, at target: Int, width: Int) {
  precondition(x.rows == y.rows && x.dtype == y.dtype, "copyColumns: \(x.shape) into \(y.shape)")
  let (kernel, bytes) = (x.device.typed(x.dtype).copy_columns!, x.dtype.byteCount)
  x.device.measured("copy columns", bytes: 2 * x.rows * width * bytes) {
    x.device.forEachRows(x.rows, width: width) { range in
      let first = range.lowerBound
      kernel(
        x.row(first) + begin * bytes, x.columns, y.row(first) + target * bytes, y.columns, range.count, width)
    }
  }
}
