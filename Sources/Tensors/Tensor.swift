/// Memory of one tensor or several views; goes back to the pool with its last owner.
package final class Storage {
  package let device: Device
  package let byteCount: Int
  package let base: UnsafeMutableRawPointer
  /// Where it goes back to; else who keeps it.
  private let pool: MemoryPool?
  private let owner: AnyObject?

  init(byteCount: Int, device: Device) {
    let pool = device.poolInUse
    (self.device, self.byteCount, self.pool, owner) = (device, byteCount, pool, nil)
    base = pool.take(byteCount)
  }

  init(_ bytes: UnsafeRawBufferPointer, of owner: AnyObject, device: Device) {
    guard let base = bytes.baseAddress else { preconditionFailure("memory that is nowhere") }
    (self.device, byteCount, pool, self.owner) = (device, bytes.count, nil, owner)
    self.base = UnsafeMutableRawPointer(mutating: base)
  }

  deinit { pool?.giveBack(base, byteCount) }
}

/// A dense row-major array. A view shares its storage; nothing is copied unless asked for.
/// Not `Sendable`: a tensor belongs to its rank's driving thread; kernels share rows out inside.
package struct Tensor {
  package private(set) var storage: Storage
  package let byteOffset: Int
  package let shape: [Int]
  package let dtype: DType

  /// Uninitialized memory.
  package init(_ shape: [Int], _ dtype: DType = .float32, on device: Device) {
    self.init(
      storage: Storage(byteCount: shape.reduce(1, *) * dtype.byteCount, device: device), byteOffset: 0,
      shape: shape, dtype: dtype)
  }

  /// Memory of somebody else, who keeps it, to be read only.
  package init(
    _ shape: [Int], _ dtype: DType, reading bytes: UnsafeRawBufferPointer, of owner: AnyObject,
    on device: Device
  ) {
    precondition(shape.reduce(1, *) * dtype.byteCount == bytes.count, "\(shape) in \(bytes.count) bytes")
    self.init(
      storage: Storage(bytes, of: owner, device: device), byteOffset: 0, shape: shape, dtype: dtype)
  }

  package init<Scalar: TensorScalar>(_ shape: [Int], _ scalars: [Scalar], on device: Device) {
    precondition(shape.reduce(1, *) == scalars.count, "\(shape) does not hold \(scalars.count) scalars")
    self.init(shape, Scalar.dtype, on: device)
    scalars.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { pointer.copyMemory(from: base, byteCount: bytes.count) }
    }
  }

  private init(storage: Storage, byteOffset: Int, shape: [Int], dtype: DType) {
    (self.storage, self.byteOffset, self.shape, self.dtype) = (storage, byteOffset, shape, dtype)
  }

  package var device: Device { storage.device }
  package var count: Int { shape.reduce(1, *) }
  package var byteCount: Int { count * dtype.byteCount }
  package var pointer: UnsafeMutableRawPointer { storage.base + byteOffset }
  /// The size of a row: the last dimension.
  package var columns: Int { shape.last ?? 1 }
  /// How many rows there are: all other dimensions together.
  package var rows: Int { columns == 0 ? 0 : count / columns }

  /// The same elements under another shape.
  package func reshaped(_ shape: [Int]) -> Tensor {
    precondition(shape.reduce(1, *) == count, "\(self.shape) cannot be read as \(shape)")
    return Tensor(storage: storage, byteOffset: byteOffset, shape: shape, dtype: dtype)
  }

  /// A view of `count` consecutive elements from `offset`, under another shape.
  package func view(at offset: Int, _ shape: [Int]) -> Tensor {
    let end = offset + shape.reduce(1, *)
    precondition(offset >= 0 && end <= count, "view \(offset)..<\(end) is outside of \(self.shape)")
    return Tensor(
      storage: storage, byteOffset: byteOffset + offset * dtype.byteCount, shape: shape, dtype: dtype)
  }

  /// A view of some rows.
  package func rows(_ range: Range<Int>) -> Tensor {
    view(at: range.lowerBound * columns, [range.count, columns])
  }

  /// The memory of all elements.
  package var buffer: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: pointer, count: byteCount)
  }

  /// Copies elements of the same type and number.
  package func copy(_ source: Tensor) {
    precondition(source.dtype == dtype && source.count == count, "\(source.shape) into \(shape)")
    buffer.copyMemory(from: UnsafeRawBufferPointer(source.buffer))
  }

  /// Typed access to the elements.
  package func elements<Scalar: TensorScalar>(_: Scalar.Type = Scalar.self) -> UnsafeMutableBufferPointer<
    Scalar
  > {
    precondition(Scalar.dtype == dtype, "a \(dtype) tensor read as \(Scalar.dtype)")
    return UnsafeMutableBufferPointer(start: pointer.assumingMemoryBound(to: Scalar.self), count: count)
  }

  package var floats: UnsafeMutableBufferPointer<Float> { elements(Float.self) }

  /// The address of an int32 tensor's elements.
  var integers: UnsafeMutablePointer<Int32> { elements(Int32.self).baseAddress! }

  /// Whether no other tensor shares the memory, so that it may be overwritten.
  package mutating func isUniquelyOwned() -> Bool { isKnownUniquelyReferenced(&storage) }

  /// The address of a row.
  package func row(_ index: Int) -> UnsafeMutableRawPointer { pointer + index * columns * dtype.byteCount }
}

@available(*, unavailable)
extension Tensor: Sendable {}
