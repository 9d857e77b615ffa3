internal import CKernels
internal import Foundation

/// How many elements a range of work should have at least before it is worth another thread.
let elementGrain = 1 << 14

extension Device {
  /// The kernels for arrays of this storage type.
  func typed(_ dtype: DType) -> hadal_typed_kernels {
    switch dtype {
    case .float32: kernels.pointee.float32
    case .bfloat16: kernels.pointee.bfloat16
    case .int32, .float8, .uint8: preconditionFailure("no arithmetic on \(dtype) tensors")
    }
  }

  /// Shares rows of `width` elements over the threads.
  func forEachRows(_ rows: Int, width: Int, _ body: (Range<Int>) -> Void) {
    workers.forEachRange(rows, grain: max(1, elementGrain / max(width, 1)), body)
  }
}

extension Tensor {
  /// Zeros.
  package static func zeros(_ shape: [Int], _ dtype: DType = .float32, on device: Device) -> Tensor {
    let tensor = Tensor(shape, dtype, on: device)
    tensor.fillWithZeros()
    return tensor
  }

  package func fillWithZeros() {
    let (base, width) = (pointer, dtype.byteCount)
    device.measured("fill with zeros", bytes: byteCount) {
      device.workers.forEachRange(count, grain: 1 << 18) { range in
        memset(base + range.lowerBound * width, 0, range.count * width)
      }
    }
  }

  package func copied() -> Tensor {
    let copy = Tensor(shape, dtype, on: device)
    device.measured("copy", bytes: 2 * byteCount) {
      copy.pointer.copyMemory(from: pointer, byteCount: byteCount)
    }
    return copy
  }

  /// The same values as another type (rounded to nearest, ties to even); itself when the type is the same.
  package func converted(to dtype: DType) -> Tensor {
    guard dtype != self.dtype else { return self }
    let result = Tensor(shape, dtype, on: device)
    result.convert(from: self)
    return result
  }

  /// Overwrites the elements with those of a tensor of the same count and any float type.
  package func convert(from source: Tensor) {
    precondition(source.count == count, "cannot convert \(source.shape) into \(shape)")
    let (to, from) = (dtype, source.dtype)
    let (out, input) = (pointer, source.pointer)
    device.measured("convert", bytes: byteCount + source.byteCount) {
      device.workers.forEachRange(count, grain: elementGrain) { range in
        let (o, i) = (out + range.lowerBound * to.byteCount, input + range.lowerBound * from.byteCount)
        switch (from, to) {
        case (_, from): o.copyMemory(from: i, byteCount: range.count * to.byteCount)
        case (.float32, _): device.typed(to).from_float(i.assumingMemoryBound(to: Float.self), o, range.count)
        case (_, .float32): device.typed(from).to_float(i, o.assumingMemoryBound(to: Float.self), range.count)
        default: preconditionFailure("no conversion from \(from) to \(to)")
        }
      }
    }
  }
}
