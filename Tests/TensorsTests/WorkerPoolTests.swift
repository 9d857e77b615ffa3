import Tensors
import Testing

/// Every item exactly once, whatever the number of threads.
struct WorkerPoolTests {
  private static let threadCounts = [1, 2, 3, 7]

  @Test(arguments: threadCounts)
  func everyItemExactlyOnce(threads: Int) {
    let pool = WorkerPool(threads: threads)
    for count in [0, 1, 2, 6, 7, 8, 1000] {
      var done = [Int](repeating: 0, count: count)
      done.withUnsafeMutableBufferPointer { done in
        let done = done
        pool.forEach(count) { done[$0] += 1 }
      }
      #expect(done.allSatisfy { $0 == 1 }, "\(count) items: \(done)")
    }
  }

  /// Loops that follow each other at once: a thread that wakes late must not run an old loop's body.
  @Test(arguments: threadCounts)
  func manyRounds(threads: Int) {
    let pool = WorkerPool(threads: threads)
    let items = 5
    var sums = [Int](repeating: 0, count: items)
    sums.withUnsafeMutableBufferPointer { sums in
      let sums = sums
      for round in 0..<400 { pool.forEach(items) { sums[$0] += round * ($0 + 1) } }
    }
    #expect(sums == (1...items).map { 400 * 399 / 2 * $0 })
  }

  /// A thread's number is its own while it computes: scratch memory by number is not shared.
  @Test(arguments: threadCounts)
  func threadNumbersAreExclusive(threads: Int) {
    let pool = WorkerPool(threads: threads)
    let items = 20_000
    var scratch = [Int](repeating: 0, count: threads * 16)
    var outside = 0
    scratch.withUnsafeMutableBufferPointer { scratch in
      let scratch = scratch
      pool.forEach(items) { item, thread in
        guard (0..<threads).contains(thread) else {
          outside += 1
          return
        }
        scratch[thread * 16] += item
      }
    }
    #expect(outside == 0)
    #expect(scratch.reduce(0, +) == items * (items - 1) / 2)
  }

  /// The ranges follow each other without gap or overlap, and none but the only one is below the grain.
  @Test(arguments: threadCounts, [(0, 1), (1, 10), (9, 10), (10, 10), (1003, 10), (100_000, 7), (50, 0)])
  func rangesCoverEverything(threads: Int, size: (count: Int, grain: Int)) {
    let pool = WorkerPool(threads: threads)
    var done = [Int](repeating: 0, count: size.count)
    var lengths = [Int](repeating: 0, count: size.count)
    done.withUnsafeMutableBufferPointer { done in
      lengths.withUnsafeMutableBufferPointer { lengths in
        let (done, lengths) = (done, lengths)
        pool.forEachRange(size.count, grain: size.grain) { range in
          lengths[range.lowerBound] = range.count
          for i in range { done[i] += 1 }
        }
      }
    }
    #expect(done.allSatisfy { $0 == 1 })
    let parts = lengths.filter { $0 > 0 }
    #expect(parts.count <= 4 * threads)
    #expect(parts.count <= 1 || parts.allSatisfy { $0 >= size.grain })
  }

  /// Pools come and go without leaving a thread that waits for ever.
  @Test func poolsCanBeDropped() {
    for _ in 0..<20 {
      let pool = WorkerPool(threads: 3)
      var hits = [Bool](repeating: false, count: 4)
      hits.withUnsafeMutableBufferPointer { hits in
        let hits = hits
        pool.forEach(4) { hits[$0] = true }
      }
      #expect(!hits.contains(false))
    }
  }
}
