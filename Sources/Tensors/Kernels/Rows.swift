internal import CKernels

/// `y[i] = x[index[i]]`, row by row, zeros where the index is -1. The indices were checked by who made them.
package func gatherRows(_ x: Tensor, _ index: Tensor) -> Tensor {
  let y = Tensor([index.count, x.columns], x.dtype, on: x.device)
  gatherRows(x, index, into: y)
  return y
}

/// The same into memory that is there.
package func gatherRows(_ x: Tensor, _ index: Tensor, into y: Tensor) {
  precondition(
    y.dtype == x.dtype && y.count == index.count * x.columns,
    "\(index.count) rows of \(x.shape) \(x.dtype) into \(y.shape) \(y.dtype)")
  // Rows are moved, not read: codes in pairs.
  let (unit, width) = (x.dtype.byteCount == 4 ? DType.float32 : .bfloat16, x.columns)
  let units = width * x.dtype.byteCount / unit.byteCount
  precondition(
    units * unit.byteCount == width * x.dtype.byteCount, "rows of \(width) \(x.dtype): an odd number")
  let kernel = x.device.typed(unit).gather_rows!
  let indices = index.elements(Int32.self).baseAddress
  x.device.measured("gather rows", bytes: 2 * y.byteCount + index.byteCount) {
    x.device.forEachRows(index.count, width: width) { range in
      kernel(x.pointer, indices! + range.lowerBound, y.row(range.lowerBound), range.count, units)
    }
  }
}

/// `y = x`, by all threads.
package func copyRows(_ x: Tensor, into y: Tensor) {
  precondition(y.dtype == x.dtype && y.count == x.count, "\(x.shape) \(x.dtype) into \(y.shape) \(y.dtype)")
  x.device.measured("copy rows", bytes: 2 * x.byteCount) {
    x.device.forEachRows(x.rows, width: x.columns) { range in
      y.row(range.lowerBound).copyMemory(
        from: x.row(range.lowerBound), byteCount: range.count * x.columns * x.dtype.byteCount)
    }
  }
}

/// `y[t] = Σ_k x[position[t, k]]` over the positions that are not -1; sums in float32.
package func combineRows(_ x: Tensor, positions: Tensor) -> Tensor {
  combineRows([Tensor](repeating: x, count: positions.columns), positions: positions)
}

/// `y[t] = Σ_k x_k[position[t, k]]` over the positions that are not -1, where each column of the positions has rows of
/// its own; sums in float32.
package func combineRows(_ sources: [Tensor], positions: Tensor) -> Tensor {
  let (tokens, selected, x) = (positions.rows, positions.columns, sources[0])
  precondition(
    sources.count == selected && sources.allSatisfy { $0.dtype == x.dtype && $0.columns == x.columns },
    "\(sources.map(\.shape)) at \(positions.shape)")
  let (width, device) = (x.columns, x.device)
  let y = Tensor([tokens, width], x.dtype, on: device)
  let (kernel, places) = (device.typed(x.dtype).combine_rows!, positions.elements(Int32.self).baseAddress)
  let rows = sources.map { UnsafeRawPointer($0.pointer) as UnsafeRawPointer? }
  withExtendedLifetime(sources) {
    rows.withUnsafeBufferPointer { rows in
      device.measured("combine rows", bytes: (selected + 1) * y.byteCount + positions.byteCount) {
        device.forEachRows(tokens, width: width * selected) { range in
          let first = range.lowerBound
          kernel(rows.baseAddress, places! + first * selected, y.row(first), range.count, selected, width)
        }
      }
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
  // The workers hold addresses only: the scratch memory must live as long.
  withExtendedLifetime(work) {
    device.measured("scatter add rows", bytes: x.byteCount + (accumulate ? 2 * x.byteCount : sum.byteCount)) {
      let runs = device.kernels.pointee.sort_by_id(ids.integers, count, order, order + count, start)
      device.forEachRows(runs, width: width * 4) { range in
        kernel(
          x.pointer, ids.integers, order, start, runs, range.lowerBound, range.upperBound, accumulate,
          sum.floats.baseAddress, sum.rows, width)
      }
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

/// `[left | right] = x`, each a matrix of its own.
/// - Parameter width: the columns of left.
package func splitColumns(_ x: Tensor, at width: Int) -> (left: Tensor, right: Tensor) {
  precondition((1..<x.columns).contains(width), "a split of \(x.shape) after \(width) columns")
  let left = Tensor([x.rows, width], x.dtype, on: x.device)
  let right = Tensor([x.rows, x.columns - width], x.dtype, on: x.device)
  let (kernel, bytes) = (x.device.typed(x.dtype).copy_columns!, x.dtype.byteCount)
  x.device.measured("split columns", bytes: 2 * x.byteCount) {
    x.device.forEachRows(x.rows, width: x.columns) { range in
      let (row, count) = (x.row(range.lowerBound), range.count)
      kernel(row, x.columns, left.row(range.lowerBound), width, count, width)
      kernel(row + width * bytes, x.columns, right.row(range.lowerBound), right.columns, count, right.columns)
    }
  }
  return (left, right)
}

/// `[left | right]`, row by row.
package func joinColumns(_ left: Tensor, _ right: Tensor) -> Tensor {
  precondition(
    left.rows == right.rows && left.dtype == right.dtype,
    "\(left.shape) \(left.dtype) beside \(right.shape) \(right.dtype)")
  let y = Tensor([left.rows, left.columns + right.columns], left.dtype, on: left.device)
  let (kernel, bytes) = (left.device.typed(left.dtype).copy_columns!, left.dtype.byteCount)
  left.device.measured("join columns", bytes: 2 * y.byteCount) {
    left.device.forEachRows(y.rows, width: y.columns) { range in
      let (first, count) = (range.lowerBound, range.count)
      kernel(left.row(first), left.columns, y.row(first), y.columns, count, left.columns)
      kernel(
        right.row(first), right.columns, y.row(first) + left.columns * bytes, y.columns, count, right.columns)
    }
  }
  return y
}
