import Foundation
import Synchronization
import Tensors
import Testing

/// Threads that stay on processors of their own. Serialized: a pool pins the thread that makes it.
@Suite(.serialized)
struct PinningTests {
  private let lent = ProcessorSet.lent.numbers

  /// Where the threads of a pool may run, by their numbers.
  private func processors(_ pool: WorkerPool) -> [[Int]] {
    var found = [[Int]](repeating: [], count: pool.threads)
    // Until every thread has had an item: each waits for all the others, so that none takes two.
    let arrived = Atomic<Int>(0)
    found.withUnsafeMutableBufferPointer { found in
      let found = found
      pool.forEach(pool.threads) { _, thread in
        arrived.add(1, ordering: .relaxed)
        while arrived.load(ordering: .relaxed) < pool.threads {}
        found[thread] = ProcessorSet.ofThisThread.numbers
      }
    }
    return found
  }

  @Test func eachThreadHasItsProcessorUntilThePoolEnds() {
    // The runner's thread may itself be confined, where tests run side by side.
    let before = ProcessorSet.ofThisThread
    do {
      let pool = WorkerPool(threads: lent.count, processors: lent.reversed())
      #expect(processors(pool) == lent.reversed().map { [$0] })
    }
    #expect(ProcessorSet.ofThisThread == before)
  }

  @Test func threadsAreLeftToTheSystemUnlessAskedFor() throws {
    let before = ProcessorSet.ofThisThread
    let device = try Device(threads: lent.count)
    #expect(processors(device.workers).allSatisfy { $0 == before.numbers })
  }

  @Test func pinnedDevices() throws {
    let device = try Device(threads: lent.count, DeviceRequest(pinning: .yes))
    #expect(processors(device.workers) == lent.map { [$0] })
    let error = #expect(throws: DeviceError.self) {
      try Device(threads: lent.count + 1, DeviceRequest(pinning: .yes))
    }
    #expect(error?.description.contains("\(lent.count + 1) threads") == true)
  }

  /// Left to itself a device pins only to a part of the machine, of which no processor is idle.
  @Test(arguments: [(1, 1, false), (2, 1, false), (1, 2, false), (2, 2, true), (3, 2, false), (4, 4, false)])
  func automatically(threads: Int, processors: Int, isPinned: Bool) throws {
    let lent = ProcessorSet(Array(10..<10 + processors))
    let found = try Pinning.automatic.processors(threads: threads, of: lent, machine: 4)
    #expect(found == (isPinned ? lent.numbers : nil))
  }

  @Test func nodesOfProcessors() throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "nodes-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: directory) }
    for (node, list) in ["0-3,8-11\n", "4-7,12\n", "\n"].enumerated() {
      let folder = directory.appending(path: "node\(node)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try list.write(to: folder.appending(path: "cpulist"), atomically: true, encoding: .utf8)
    }
    for (numbers, nodes) in [([0, 9], 1), ([12], 2), ([3, 4], 3), ([13], 0), ([], 0)] as [([Int], UInt64)] {
      #expect(ProcessorSet(numbers).nodes(directory: directory.path) == nodes, "\(numbers)")
    }
  }

  /// Memory that is spread is memory like any other; more nodes than there are is refused without harm.
  @Test func spreadMemoryHolds() {
    let (pool, count) = (MemoryPool(nodes: 3), 4 << 20)
    let block = pool.take(count)
    block.initializeMemory(as: UInt8.self, repeating: 7, count: count)
    #expect((0..<count).allSatisfy { block.load(fromByteOffset: $0, as: UInt8.self) == 7 })
    pool.giveBack(block, count)
  }
}
