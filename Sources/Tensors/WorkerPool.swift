internal import CKernels
internal import Foundation
internal import Synchronization

/// Threads that share the items of a loop. The calling thread takes part.
///
/// Which thread computes an item is not determined, so a body may only write what belongs to its item: then the
/// result has the same bits for any number of threads.
package final class WorkerPool {
  package let threads: Int
  private let shared = SharedLoop()
  /// The caller's thread, and where it might run before it was pinned; nil where it was not.
  private let pinned: (thread: Int32, before: ProcessorSet)?

  /// - Parameters:
  ///   - threads: how many threads compute, the caller included; at least 1.
  ///   - processors: one for each thread to stay on, the caller's first, until the pool ends; nil to leave that to
  ///     the system.
  package init(threads: Int, processors: [Int]? = nil) {
    precondition(threads >= 1, "a worker pool needs at least 1 thread, not \(threads)")
    precondition(
      processors?.count ?? threads == threads, "\(processors?.count ?? 0) processors for \(threads) threads")
    self.threads = threads
    pinned = processors.map { processors in
      let before = ProcessorSet.ofThisThread
      ProcessorSet([processors[0]]).confine()
      return (hadal_this_thread(), before)
    }
    for worker in 1..<max(threads, 1) {
      let thread = Thread { [shared] in
        if let processors { ProcessorSet([processors[worker]]).confine() }
        shared.serve(worker: worker)
      }
      thread.name = "hadal-worker-\(worker)"
      thread.stackSize = 8 << 20
      thread.start()
    }
  }

  deinit {
    shared.stop()
    if let pinned { pinned.before.confine(thread: pinned.thread) }
  }

  /// Calls `body(item)` once for every item of 0..<count, and returns when all have ended.
  package func forEach(_ count: Int, _ body: (Int) -> Void) {
    forEach(count) { item, _ in body(item) }
  }

  /// As `forEach(_:_:)`, with the number of the thread (0..<threads), for scratch memory of its own.
  package func forEach(_ count: Int, _ body: (_ item: Int, _ thread: Int) -> Void) {
    guard count > 1, threads > 1 else {
      for item in 0..<count { body(item, 0) }
      return
    }
    shared.run(count: count, helpers: threads - 1, body)
  }

  /// Splits 0..<count into equal ranges of at least `grain`, at most four a thread, and shares them.
  package func forEachRange(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    forEachRange(count, grain: grain) { range, _ in body(range) }
  }

  /// As `forEachRange(_:grain:_:)`, with the number of the thread (0..<threads).
  package func forEachRange(_ count: Int, grain: Int, _ body: (_ range: Range<Int>, _ thread: Int) -> Void) {
    guard count > 0 else { return }
    let parts = max(1, min(count / max(grain, 1), threads * 4))
    forEach(parts) { part, thread in body(count * part / parts..<count * (part + 1) / parts, thread) }
  }
}

/// The loop that is being shared, and how threads sleep and wake.
///
/// `@unchecked Sendable`: the body is a borrowed closure that outlives the loop (`run` returns only when no worker
/// uses it), and every other field is atomic or guarded by `condition`.
private final class SharedLoop: @unchecked Sendable {
  private let condition = NSCondition()
  typealias Body = (Int, Int) -> Void
  /// A pointer, so that no worker owns the closure: a reference that is given back a moment after `busy` was counted
  /// down would be an escape.
  private var body: UnsafePointer<Body>?
  private var count = 0
  private var stopped = false
  private let generation = Atomic<Int>(0)
  private let next = Atomic<Int>(0)
  private let busy = Atomic<Int>(0)
  private let isRunning = Atomic<Bool>(false)
  /// The driver sleeps until no worker is busy.
  private let isAwaited = Atomic<Bool>(false)
  private let over = NSCondition()

  /// How often a worker looks for the next loop before it sleeps: about 20 µs.
  private static let spins = 4000
  /// How often the driver looks whether the last part is over before it sleeps: about 200 µs, as the parts of a loop
  /// seldom end further apart.
  private static let driverSpins = 40_000

  func run(count: Int, helpers: Int, _ body: (Int, Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { run(count: count, helpers: helpers, $0) }
    }
  }

  private func run(count: Int, helpers: Int, _ body: UnsafePointer<Body>) {
    precondition(
      !isRunning.exchange(true, ordering: .acquiring),
      "a loop inside a loop, or from two threads, of one worker pool")
    defer { isRunning.store(false, ordering: .releasing) }
    condition.lock()
    self.body = body
    self.count = count
    next.store(0, ordering: .relaxed)
    busy.store(helpers, ordering: .relaxed)
    generation.add(1, ordering: .sequentiallyConsistent)
    condition.broadcast()
    condition.unlock()
    work(thread: 0, count: count, body)
    awaitHelpers()
  }

  /// No `sched_yield`: it gives a whole time slice to whatever else computes on this core.
  private func awaitHelpers() {
    var spin = 0
    while busy.load(ordering: .acquiring) > 0, spin < Self.driverSpins { spin += 1 }
    guard spin == Self.driverSpins else { return }
    isAwaited.store(true, ordering: .sequentiallyConsistent)
    over.withLock { while busy.load(ordering: .sequentiallyConsistent) > 0 { over.wait() } }
    isAwaited.store(false, ordering: .relaxed)
  }

  func serve(worker: Int) {
    var seen = 0
    while true {
      var spin = 0
      while generation.load(ordering: .acquiring) == seen, spin < Self.spins { spin += 1 }
      condition.lock()
      while generation.load(ordering: .relaxed) == seen, !stopped { condition.wait() }
      if stopped { return condition.unlock() }
      seen = generation.load(ordering: .relaxed)
      let (count, body) = (self.count, self.body)
      condition.unlock()
      if let body { work(thread: worker, count: count, body) }
      // Either the driver sees that this was the last, or it has said before that it sleeps.
      if busy.subtract(1, ordering: .sequentiallyConsistent).newValue == 0,
        isAwaited.load(ordering: .sequentiallyConsistent)
      {
        over.withLock { over.signal() }
      }
    }
  }

  private func work(thread: Int, count: Int, _ body: UnsafePointer<Body>) {
    while true {
      let item = next.add(1, ordering: .relaxed).oldValue
      guard item < count else { return }
      body.pointee(item, thread)
    }
  }

  func stop() {
    condition.lock()
    stopped = true
    generation.add(1, ordering: .sequentiallyConsistent)
    condition.broadcast()
    condition.unlock()
  }
}
