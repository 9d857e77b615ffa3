internal import Communication
package import Tensors

/// Rows on their way between the ranks of a group: what was posted, and is to be waited for.
struct Transfer {
  let group: Communicator
  private let purpose: Purpose
  /// The first row for, and from, each rank, and the end.
  private let leaving, arriving: [Int]
  private(set) var requests: [Request] = []
  private var arrays = 0

  init(_ group: Communicator, _ purpose: Purpose, leaving: [Int], arriving: [Int]) {
    (self.group, self.purpose, self.leaving, self.arriving) = (group, purpose, leaving, arriving)
  }

  /// Starts to send rows, and to receive those of the others into `target`. Both live until the requests are done.
  ///
  /// Receives are posted first, and each rank begins with its next neighbour: no rank is everyone's first.
  mutating func start(_ rows: Tensor, into target: Tensor) {
    let (rank, size, tag) = (group.rank, group.size, arrays)
    arrays += 1
    do {
      for step in 1..<max(size, 1) {
        let peer = (rank + size - step) % size
        requests.append(
          try group.receive(
            target.bytes(arriving[peer]..<arriving[peer + 1]), from: peer, tag: tag, owner: target.storage,
            purpose))
      }
      for step in 1..<max(size, 1) {
        let peer = (rank + step) % size
        requests.append(
          try group.send(
            UnsafeRawBufferPointer(rows.bytes(leaving[peer]..<leaving[peer + 1])), to: peer, tag: tag,
            owner: rows.storage, purpose))
      }
    } catch {
      group.endJob(error)
    }
    target.bytes(arriving[rank]..<arriving[rank + 1]).copyMemory(
      from: UnsafeRawBufferPointer(rows.bytes(leaving[rank]..<leaving[rank + 1])))
  }
}

extension Tensor {
  /// The memory of all elements.
  package var buffer: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: pointer, count: byteCount) }

  /// Copies elements of the same type and number.
  package func copy(_ source: Tensor) {
    precondition(source.dtype == dtype && source.count == count, "\(source.shape) into \(shape)")
    buffer.copyMemory(from: UnsafeRawBufferPointer(source.buffer))
  }

  /// The memory of some rows.
  func bytes(_ rows: Range<Int>) -> UnsafeMutableRawBufferPointer {
    let rowBytes = columns * dtype.byteCount
    return UnsafeMutableRawBufferPointer(
      start: pointer + rows.lowerBound * rowBytes, count: rows.count * rowBytes)
  }
}
