internal import Checkpoint

/// A copy of what a rank writes of a checkpoint, so that training can go on while it is written.
///
/// Unchecked: the driver fills it before it starts the thread that reads it, and comes back to it only after that
/// thread has ended.
final class StateSnapshot: @unchecked Sendable {
  private let block: UnsafeMutableRawBufferPointer
  /// Where the elements of each slice begin, by the slice's key.
  private var offsets: [String: Int] = [:]

  init(byteCount: Int) { block = .allocate(byteCount: byteCount, alignment: 4096) }

  deinit { block.deallocate() }

  var byteCount: Int { block.count }

  /// Copies the slices, instead of those that were copied before.
  func fill(
    _ slices: [ShardPlan.Slice], _ elements: @escaping ShardedSave.Elements
  ) throws(CheckpointError) {
    offsets = [:]
    var end = 0
    for slice in slices {
      offsets[slice.record.name] = end
      try elements(slice) { piece in
        precondition(
          end + piece.count <= block.count, "\(slice.record.name) ends beyond \(block.count) bytes")
        UnsafeMutableRawBufferPointer(rebasing: block[end..<end + piece.count]).copyMemory(from: piece)
        end += piece.count
      }
    }
  }

  /// Gives the elements of a slice as they were copied.
  func write(
    _ slice: ShardPlan.Slice, _ write: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    guard let begin = offsets[slice.record.name] else {
      preconditionFailure("\(slice.record.name) was not copied")
    }
    try write(UnsafeRawBufferPointer(rebasing: block[begin..<begin + slice.record.byteCount]))
  }
}
