internal import Foundation
internal import Tensors

/// Blocks of memory that go from hand to hand in a circle, so that a disk and processors are at work on different ones.
///
/// Stage 0 may have a block once the last stage is done with what it held before; every other stage gets the blocks of the
/// stage before it, in their order. Each stage is one thread.
///
/// `@unchecked Sendable`: a block belongs to one stage at a time; the condition hands it over.
final class BlockRing: @unchecked Sendable {
  /// Large enough for a disk that is asked for one at a time, and whole pages, so that it can go there directly.
  static let blockBytes = 4 << 20

  private let blocks: [UnsafeMutableRawBufferPointer]
  private let condition = NSCondition()
  /// How many blocks each stage has passed on.
  private var passed: [Int]
  /// How many there are in all, once that is known.
  private var end: Int?
  private var failure: CheckpointError?
  /// Threads of stages that have not returned yet.
  private var running = 0

  /// - Parameter total: how many blocks will be passed on, where it is known before `finish`.
  init(blocks count: Int, stages: Int, total: Int? = nil) {
    end = total
    blocks = (0..<count).map { _ in .allocate(byteCount: Self.blockBytes, alignment: 4096) }
    passed = Array(repeating: 0, count: stages)
  }

  deinit { for block in blocks { block.deallocate() } }

  /// Waits for the stage's next block, and says how many came before it; nil when there is none any more.
  ///
  /// - Throws: what any stage has failed with.
  func take(_ stage: Int) throws(CheckpointError) -> (number: Int, block: UnsafeMutableRawBufferPointer)? {
    condition.lock()
    defer { condition.unlock() }
    let next = passed[stage]
    while failure == nil, next != end {
      let isReady = stage == 0 ? next < passed[passed.count - 1] + blocks.count : next < passed[stage - 1]
      if isReady { return (next, blocks[next % blocks.count]) }
      condition.wait()
    }
    if let failure { throw failure }
    return nil
  }

  /// Gives the block that the stage has taken to the next one.
  func pass(_ stage: Int) { change { passed[stage] += 1 } }

  /// No block follows those that stage 0 has passed on.
  func finish() { change { end = passed[0] } }

  /// Ends all stages; the first failure counts.
  func fail(_ error: CheckpointError) { change { failure = failure ?? error } }

  /// Runs a stage on this thread, and returns when no block is left.
  ///
  /// - Throws: what any stage has failed with, this one included.
  func run(
    _ stage: Int, _ body: (Int, UnsafeMutableRawBufferPointer) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    do throws(CheckpointError) {
      while let (number, block) = try take(stage) {
        try body(number, block)
        pass(stage)
      }
    } catch {
      fail(error)
      throw error
    }
  }

  /// Runs a stage on a thread of its own, which has the priority of this one and all processors that the process was lent.
  func start(
    _ stage: Int,
    _ body: @escaping @Sendable (Int, UnsafeMutableRawBufferPointer) throws(CheckpointError) -> Void
  ) {
    change { running += 1 }
    let thread = Thread { [self] in
      // This thread may be pinned to one processor, which its threads inherit.
      ProcessorSet.lent.confine()
      try? run(stage, body)  // whoever joins gets the error
      change { running -= 1 }
    }
    thread.name = "hadal-disk"
    thread.stackSize = 1 << 20
    thread.start()
  }

  /// Returns once the threads of all stages have ended: after `finish`, or a failure.
  func join() throws(CheckpointError) {
    condition.lock()
    defer { condition.unlock() }
    while running > 0 { condition.wait() }
    if let failure { throw failure }
  }

  private func change(_ body: () -> Void) {
    condition.lock()
    body()
    condition.broadcast()
    condition.unlock()
  }
}
