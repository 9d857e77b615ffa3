package import Communication
package import Tensors

extension Device {
  /// From now on ``lending(if:_:)`` makes tensors that other ranks of the node can read, where some of this group are
  /// there. A device lends to the ranks of one world.
  package func lend(to group: Communicator) {
    let isRead = (0..<group.size).contains { group.sharesMemory(with: $0) }
    guard lentPool == nil, isRead, let memory = group.nodeMemory else { return }
    lentPool = MemoryPool(slabs: memory.slab, countingWith: pool)
  }
}

extension Borrowed {
  /// An array that begins there; the memory is given back with the last of them.
  func tensor(_ shape: [Int], _ dtype: DType, at offset: Int, on device: Device) -> Tensor {
    let bytes = bytes(at: offset, shape.reduce(1, *) * dtype.byteCount)
    return Tensor(shape, dtype, reading: bytes, of: self, on: device)
  }
}
