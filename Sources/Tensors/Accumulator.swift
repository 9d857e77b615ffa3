/// A float32 array of sums that knows when it holds none: clearing costs nothing, and the first addition after it
/// overwrites. Memory is taken when first used.
package final class Accumulator {
  private let shape: [Int]
  private let device: Device
  private lazy var storage = Tensor(shape, on: device)
  /// Whether nothing has been added since the beginning or the last ``clear()``.
  package private(set) var isEmpty = true

  package init(_ shape: [Int], on device: Device) { (self.shape, self.device) = (shape, device) }

  /// The sums; zeros where nothing has been added.
  package var sums: Tensor {
    let (storage, accumulate) = takeTarget()
    if !accumulate { storage.fillWithZeros() }
    return storage
  }

  /// The array to add to. When `accumulate` is false it holds anything: the caller then overwrites every element.
  package func takeTarget() -> (sums: Tensor, accumulate: Bool) {
    defer { isEmpty = false }
    return (storage, !isEmpty)
  }

  /// Adds a whole array.
  package func add(_ addend: Tensor) {
    let (sums, accumulate) = takeTarget()
    if accumulate { Tensors.add(sums, addend, into: sums) } else { sums.convert(from: addend) }
  }

  package func clear() { isEmpty = true }
}

@available(*, unavailable)
extension Accumulator: Sendable {}
