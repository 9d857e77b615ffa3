internal import Foundation
internal import Glibc
internal import Synchronization

/// Blocks of a file on their way to the disk: a thread writes one while the next is filled.
///
/// `@unchecked Sendable`: a block belongs to the one who fills it until `put`, then to the thread until it is free again;
/// semaphores hand it over.
final class BlockWriter: @unchecked Sendable {
  /// Large enough for a disk that is asked for one at a time, and whole pages, so that they can go there directly.
  static let blockBytes = 4 << 20
  private static let count = 2

  private let file: OpenFile
  private let fileSystem: any FileSystem
  private let blocks = (0..<count).map { _ in
    UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 4096)
  }
  /// Not with the count as its value: the library wants that back at the end, when a block is still being filled.
  private let free = DispatchSemaphore(value: 0)
  private let filled = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private let failure = Mutex<CheckpointError?>(nil)
  /// How many blocks have been filled, and written.
  private var (next, written) = (0, 0)
  /// No block follows the last one.
  private let isLast = Atomic<Bool>(false)

  /// The thread has the priority and the processors of this one.
  init(_ file: OpenFile, on fileSystem: any FileSystem) {
    (self.file, self.fileSystem) = (file, fileSystem)
    fileSystem.expectBlocks(in: file)
    for _ in blocks { free.signal() }
    let thread = Thread { [self] in run() }
    thread.name = "hadal-disk"
    thread.stackSize = 1 << 20
    thread.start()
  }

  deinit { for block in blocks { block.deallocate() } }

  /// Room for the next block, once there is.
  ///
  /// - Throws: what the disk says of an earlier one.
  func room() throws(CheckpointError) -> UnsafeMutableRawBufferPointer {
    free.wait()
    if let error = failure.withLock({ $0 }) {
      free.signal()
      throw error
    }
    return blocks[next % Self.count]
  }

  /// The block that `room` gave is full.
  func put() {
    next += 1
    filled.signal()
  }

  /// Waits for the disk; to be called once, also after a failure.
  func finish() throws(CheckpointError) {
    isLast.store(true, ordering: .sequentiallyConsistent)
    filled.signal()
    ended.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }

  private func run() {
    while true {
      filled.wait()
      // All that is filled comes before the end.
      if isLast.load(ordering: .sequentiallyConsistent), written == next { break }
      if failure.withLock({ $0 == nil }) {
        do throws(CheckpointError) {
          try fileSystem.writeAll(UnsafeRawBufferPointer(blocks[written % Self.count]), to: file)
        } catch {
          failure.withLock { $0 = error }
        }
      }
      written += 1
      free.signal()
    }
    ended.signal()
  }
}
