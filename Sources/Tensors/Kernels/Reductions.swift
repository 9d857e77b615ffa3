internal import CKernels

/// `Σ x²` of float32 tensors together, in float64: sums of pieces of a fixed size are added in order, whatever the
/// number of threads.
package func sumOfSquares(_ tensors: [Tensor]) -> Double {
  guard let device = tensors.first?.device else { return 0 }
  let pieces = ArrayPieces(tensors.map(\.count))
  var partial = [Double](repeating: 0, count: pieces.count)
  device.measured("sum of squares", bytes: tensors.reduce(0) { $0 + $1.byteCount }) {
    partial.withUnsafeMutableBufferPointer { sums in
      let sums = sums
      device.workers.forEach(sums.count) { i in
        let (array, range) = pieces[i]
        sums[i] = device.kernels.pointee.sum_of_squares(
          tensors[array].floats.baseAddress! + range.lowerBound, range.count)
      }
    }
  }
  return partial.reduce(0, +)
}

extension Tensor {
  /// `Σ x` of a float32 tensor, or `Σ weight · x`, in float64; on the calling thread.
  package func sum(weight: Tensor? = nil) -> Double {
    device.measured("weighted sum", bytes: byteCount + (weight?.byteCount ?? 0)) {
      device.kernels.pointee.weighted_sum(floats.baseAddress, weight?.floats.baseAddress, count)
    }
  }

  /// Where the first NaN or infinity stands in a float32 tensor; nil when every value is finite.
  package func firstNonFinite() -> Int? {
    guard count > 0 else { return nil }
    let index = device.measured("first non-finite", bytes: byteCount) {
      device.kernels.pointee.first_non_finite(floats.baseAddress, count)
    }
    return index < count ? index : nil
  }

  /// The sum of the rows of a float32 matrix, added in their order; at least one row.
  func sumOfRows() -> Tensor {
    guard rows > 1 else { return reshaped([columns]) }
    let (sum, width) = (Tensor([columns], on: device), columns)
    let (x, y) = (floats.baseAddress!, sum.floats.baseAddress!)
    device.measured("sum of rows", bytes: byteCount + sum.byteCount) {
      device.workers.forEachRange(width, grain: max(64, elementGrain / rows)) { range in
        device.kernels.pointee.sum_blocks(
          x + range.lowerBound, width, rows, y + range.lowerBound, range.count)
      }
    }
    return sum
  }

  /// `x ← factor · x` for a float32 tensor.
  package func scale(by factor: Float) {
    let x = floats
    device.measured("scale", bytes: 2 * byteCount) {
      device.workers.forEachRange(count, grain: elementGrain) { range in
        device.kernels.pointee.scale_float(x.baseAddress! + range.lowerBound, factor, range.count)
      }
    }
  }
}

/// The column of the largest value of each row of a float32 matrix; ties go to the first.
package func largestColumns(_ x: Tensor) -> [Int32] {
  let width = x.columns
  let values = x.floats
  var result = [Int32](repeating: 0, count: x.rows)
  x.device.measured("largest columns", bytes: x.byteCount) {
    result.withUnsafeMutableBufferPointer { indices in
      let indices = indices
      x.device.forEachRows(x.rows, width: width) { range in
        x.device.kernels.pointee.largest_columns(
          values.baseAddress! + range.lowerBound * width, range.count, width,
          indices.baseAddress! + range.lowerBound)
      }
    }
  }
  return result
}
