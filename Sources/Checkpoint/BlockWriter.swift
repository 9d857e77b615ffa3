internal import Foundation
internal import Glibc
internal import Synchronization

/// A file in blocks: a thread writes one while the next is filled. One of less than a block needs no thread.
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
  /// Blocks but the one that is being filled.
  private let free = DispatchSemaphore(value: 0)
  private let filled = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private let failure = Mutex<CheckpointError?>(nil)
  /// How many blocks have been filled, and written.
  private var (next, written) = (0, 0)
  private var isRunning = false
  /// No block follows the last one.
  private let isLast = Atomic<Bool>(false)

  init(_ file: OpenFile, on fileSystem: any FileSystem) { (self.file, self.fileSystem) = (file, fileSystem) }

  deinit { for block in blocks { block.deallocate() } }

  /// The one that is being filled.
  var block: UnsafeMutableRawBufferPointer { blocks[next % Self.count] }

  /// Gives the block, which is full, to the disk, and waits until there is another.
  ///
  /// - Throws: what the disk says of an earlier one.
  func put() throws(CheckpointError) {
    if !isRunning { start() }
    next += 1
    filled.signal()
    free.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// Writes what the last block holds, once the disk has taken the others.
  func finish(last count: Int) throws(CheckpointError) {
    end()
    if let error = failure.withLock({ $0 }) { throw error }
    try fileSystem.writeAll(UnsafeRawBufferPointer(rebasing: block[..<count]), to: file)
  }

  /// Waits for the thread, which must not write to a file that is given up.
  func end() {
    guard isRunning else { return }
    isRunning = false
    isLast.store(true, ordering: .sequentiallyConsistent)
    filled.signal()
    ended.wait()
  }

  /// The thread has the priority and the processors of this one.
  private func start() {
    isRunning = true
    fileSystem.expectBlocks(in: file)
    for _ in blocks.dropFirst() { free.signal() }
    let thread = Thread { [self] in run() }
    thread.name = "hadal-disk"
    thread.stackSize = 1 << 20
    thread.start()
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
