internal import Foundation

/// Recycles blocks of memory by size, so that a training step in its steady state allocates nothing.
///
/// Sizes are rounded up to a multiple of 1/8 of their power of two (at least 64 bytes): at most 12.5 % is lost.
/// Blocks are aligned to 64 bytes, those of a megabyte and more to 2 MB (a huge page). Not zeroed.
package final class MemoryPool {
  private var free: [Int: [UnsafeMutableRawPointer]] = [:]
  /// Bytes handed out now, and the most that ever were.
  package private(set) var liveBytes = 0
  package private(set) var peakBytes = 0
  /// Blocks taken from the system since the start.
  package private(set) var systemAllocations = 0

  package init() {}

  deinit {
    for pointer in free.values.joined() { pointer.deallocate() }
  }

  /// The size of the block that serves `byteCount`.
  package static func blockSize(_ byteCount: Int) -> Int {
    guard byteCount > 64 else { return 64 }
    let power = 1 << (Int.bitWidth - 1 - (byteCount - 1).leadingZeroBitCount)
    let step = max(64, power / 8)
    return (byteCount + step - 1) / step * step
  }

  func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
    let size = Self.blockSize(byteCount)
    liveBytes += size
    peakBytes = max(peakBytes, liveBytes)
    if let pointer = free[size]?.popLast() { return pointer }
    systemAllocations += 1
    return .allocate(byteCount: size, alignment: size >= 1 << 20 ? 1 << 21 : 64)
  }

  func giveBack(_ pointer: UnsafeMutableRawPointer, _ byteCount: Int) {
    let size = Self.blockSize(byteCount)
    liveBytes -= size
    free[size, default: []].append(pointer)
  }
}
