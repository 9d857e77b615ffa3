internal import CKernels
internal import Foundation

/// Recycles blocks of memory by size, so that a training step in its steady state allocates nothing.
///
/// Sizes are rounded up to a multiple of 1/8 of their power of two (at least 64 bytes; 1/32 from a megabyte on): at most
/// 12.5 % (3.2 %) is lost, and up to a quarter where a free block that is larger does. Large blocks are cut from slabs
/// that the system is asked to back with huge pages: a product walks over thousands of rows, each on a small page of its
/// own. Not zeroed.
///
/// AddressSanitizer and valgrind know neither where a recycled block ends nor whether it is in use. For them a plain
/// pool (`HADAL_POOL=plain`, and unasked in a build with AddressSanitizer) takes every block from the system, with
/// exactly the bytes that were asked for, and gives it back at once; it counts the same sizes.
///
/// A pool over memory of somebody else cuts all of its blocks from slabs of that, and recycles them, plain or not.
package final class MemoryPool {
  /// Whether every block is the system's, neither rounded nor recycled.
  let isPlain: Bool
  private let nodes: UInt64
  /// By size.
  private var free: [Int: [UnsafeMutableRawPointer]] = [:]
  /// The sizes of blocks in use that are larger than the ones they stand for.
  private var larger: [UnsafeMutableRawPointer: Int] = [:]
  private var small: [UnsafeMutableRawPointer] = []
  private var slabs: [Slab] = []
  /// Where slabs come from; nil: from the system.
  private let source: ((_ byteCount: Int) -> UnsafeMutableRawPointer?)?
  /// What is left of the slab that blocks are cut from.
  private var current = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private let count: Count
  /// Bytes handed out now, and the most that ever were, of this pool and of those that count with it.
  package var liveBytes: Int { count.live }
  package var peakBytes: Int { count.peak }
  /// Blocks made since the start: those that no earlier one could serve.
  package var systemAllocations: Int { count.made }

  /// From this size on blocks come from slabs, page by page.
  package static let slabThreshold = 1 << 18
  package static let page = 4096

  /// - Parameters:
  ///   - isPlain: whether every block is the system's, neither rounded nor recycled.
  ///   - nodes: the NUMA nodes, a bit for each, whose processors compute. Where they are several, large blocks are
  ///     spread over them page by page, since any thread may read any tensor; of one, each page lies where it is first
  ///     touched.
  package init(isPlain: Bool = false, nodes: UInt64 = 0) {
    (self.isPlain, self.nodes, source, count) = (isPlain, nodes, nil, Count())
  }

  /// A pool over memory of somebody else, whose bytes count with those of another pool.
  /// - Parameter slabs: gives so many bytes, for good, from the start of a page; nil: it has none.
  package init(
    slabs: @escaping (_ byteCount: Int) -> UnsafeMutableRawPointer?, countingWith other: MemoryPool
  ) {
    (isPlain, nodes, source, count) = (false, 0, slabs, other.count)
  }

  private final class Count {
    var live = 0
    var peak = 0
    var made = 0
  }

  deinit {
    for pointer in small { pointer.deallocate() }
    for slab in slabs { slab.unmap() }
  }

  /// The size of the block that serves `byteCount`.
  package static func blockSize(_ byteCount: Int) -> Int {
    guard byteCount > 64 else { return 64 }
    let power = 1 << (Int.bitWidth - 1 - (byteCount - 1).leadingZeroBitCount)
    let step = power >= 1 << 20 ? power / 32 : max(64, power / 8)
    return (byteCount + step - 1) / step * step
  }

  package func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
    let size = Self.blockSize(byteCount)
    count.live += size
    count.peak = max(count.peak, count.live)
    if let pointer = free[size]?.popLast() ?? largerBlock(size) { return pointer }
    count.made += 1
    if isPlain { return .allocate(byteCount: byteCount, alignment: 64) }
    if size >= Self.slabThreshold || source != nil { return cut(size) }
    let pointer = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    small.append(pointer)
    return pointer
  }

  package func giveBack(_ pointer: UnsafeMutableRawPointer, _ byteCount: Int) {
    let size = Self.blockSize(byteCount)
    count.live -= size
    if isPlain { return pointer.deallocate() }
    free[larger.removeValue(forKey: pointer) ?? size, default: []].append(pointer)
  }

  /// A free block that is up to a quarter larger. Rows that arrive from other ranks are a few more or less each time:
  /// each number of them would else keep blocks of its own, and a rank twice the memory that it uses.
  private func largerBlock(_ size: Int) -> UnsafeMutableRawPointer? {
    guard size >= Self.slabThreshold, !isPlain else { return nil }
    var other = Self.blockSize(size + 1)
    while other <= size + size / 4 {
      if let pointer = free[other]?.popLast() {
        larger[pointer] = other
        return pointer
      }
      other = Self.blockSize(other + 1)
    }
    return nil
  }

  private func cut(_ size: Int) -> UnsafeMutableRawPointer {
    let size = (size + Self.page - 1) / Self.page * Self.page
    if size <= current.count {
      defer { current = UnsafeMutableRawBufferPointer(rebasing: current[size...]) }
      return current.baseAddress!
    }
    let slab = slab(size > Slab.usual / 2 ? size : Slab.usual)
    // What a slab of its own has left over is less than a huge page: not worth leaving the current one for.
    if size <= Slab.usual / 2 || current.isEmpty {
      current = UnsafeMutableRawBufferPointer(rebasing: slab[size...])
    }
    return slab.baseAddress!
  }

  private func slab(_ byteCount: Int) -> UnsafeMutableRawBufferPointer {
    if let source {
      guard let base = source(byteCount) else {
        fatalError(
          "no \(byteCount >> 20) MB are left of the memory that ranks of a node share; with "
            + "communication.shared_memory: false they send messages instead")
      }
      return UnsafeMutableRawBufferPointer(start: base, count: byteCount)
    }
    let slab = Slab(byteCount: byteCount)
    if nodes.nonzeroBitCount > 1 { slab.spread(over: nodes) }
    slabs.append(slab)
    return UnsafeMutableRawBufferPointer(start: slab.base, count: slab.byteCount)
  }
}

/// A mapping that starts and ends at a huge page. Memory that is never touched costs nothing.
private struct Slab {
  static let usual = 64 << 20
  private static let hugePage = 2 << 20

  private let mapping: UnsafeMutableRawPointer
  private let mappedBytes: Int
  let base: UnsafeMutableRawPointer
  let byteCount: Int

  init(byteCount: Int) {
    self.byteCount = (byteCount + Self.hugePage - 1) / Self.hugePage * Self.hugePage
    mappedBytes = self.byteCount + Self.hugePage
    let mapping = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    // Sizes were checked against the machine's memory before the model was built; what fails here is a limit.
    guard let mapping, mapping != MAP_FAILED else {
      fatalError(
        "the system gives no \(mappedBytes >> 20) MB of memory (\(String(cString: strerror(errno))))")
    }
    self.mapping = mapping
    let address = Int(bitPattern: mapping)
    base = mapping + ((address + Self.hugePage - 1) / Self.hugePage * Self.hugePage - address)
    #if os(Linux)
      // A request: where it is not granted, small pages do.
      madvise(base, self.byteCount, MADV_HUGEPAGE)
    #endif
  }

  /// A wish: where the system refuses, pages lie where they are first touched.
  func spread(over nodes: UInt64) { _ = hadal_spread(base, byteCount, nodes) }

  func unmap() { munmap(mapping, mappedBytes) }
}
