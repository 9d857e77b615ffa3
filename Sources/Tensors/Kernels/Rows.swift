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

/// `sum[id[t]] += x[t]` without a dense intermediate: tokens are sorted by id, each id is one thread's.
package func scatterAddRows(_ x: Tensor, ids: [Int32], into sum: Tensor) {
  x.device.measured("scatter add rows", bytes: 3 * x.byteCount) {
    let order = ids.indices.sorted { (ids[$0], $0) < (ids[$1], $1) }.map(Int32.init)
    var starts = order.indices.filter { $0 == 0 || ids[Int(order[$0])] != ids[Int(order[$0 - 1])] }
    let (distinct, width) = (starts.count, x.columns)
    starts.append(order.count)
    let (kernel, target) = (x.device.typed(x.dtype).sum_rows!, sum.floats.baseAddress)
    order.withUnsafeBufferPointer { tokens in
      x.device.forEachRows(distinct, width: width * 4) { range in
        for i in range {
          let id = Int(ids[Int(tokens[starts[i]])])
          kernel(x.pointer, tokens.baseAddress, starts[i], starts[i + 1], target! + id * width, width)
        }
      }
    }
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
