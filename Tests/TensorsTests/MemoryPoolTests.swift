import Tensors
import Testing

/// Memory is reused, aligned and counted.
struct MemoryPoolTests {
  private let device: Device
  init() throws { device = try Device(threads: 2, DeviceRequest(hasPlainPool: false, pinning: .no)) }

  @Test func blocksAreReused() {
    let pool = device.pool
    var first: Tensor? = Tensor([100], on: device)
    let address = first?.pointer
    first = nil
    #expect(pool.systemAllocations == 1)
    // 400 bytes and 448 bytes are served by blocks of one size.
    #expect(MemoryPool.blockSize(400) == MemoryPool.blockSize(448))
    let second = Tensor([112], on: device)
    #expect(second.pointer == address)
    let third = Tensor([100], on: device)
    #expect(third.pointer != second.pointer, "a block was handed out twice")
    #expect(pool.systemAllocations == 2)
  }

  @Test func liveAndPeakBytes() {
    let pool = device.pool
    let one = MemoryPool.blockSize(4000)
    do {
      let a = Tensor([1000], on: device)
      let view = a.view(at: 10, [20])
      let copy = a
      #expect(pool.liveBytes == one, "views and copies of the struct share memory")
      #expect(view.count + copy.count == 1020)
      do {
        let b = Tensor([1000], on: device)
        #expect(b.count == 1000 && pool.liveBytes == 2 * one)
      }
      #expect(pool.liveBytes == one)
    }
    #expect(pool.liveBytes == 0)
    #expect(pool.peakBytes == 2 * one)
  }

  /// A view keeps the memory of the whole.
  @Test func viewsKeepTheirStorage() {
    var view: Tensor
    do { view = Tensor([1000], randomNumbers(1000, "view"), on: device).view(at: 3, [2, 5]) }
    #expect(device.pool.liveBytes == MemoryPool.blockSize(4000))
    #expect(view.numbers == Array(randomNumbers(1000, "view")[3..<13]))
    let isAlone = view.isUniquelyOwned()
    #expect(isAlone)
    view = Tensor([1], on: device)
    #expect(device.pool.liveBytes == 64)
  }

  /// 64 bytes (a cache line, an AVX-512 register); a page where blocks come from slabs.
  @Test(arguments: [0, 1, 63, 64, 65, 1000, 12_345, 1 << 20, 1 << 20 + 1, 3 << 20, 80 << 20])
  func alignment(byteCount: Int) {
    let tensor = Tensor([(byteCount + 3) / 4], on: device)
    let address = Int(bitPattern: tensor.pointer)
    #expect(address % (byteCount >= MemoryPool.slabThreshold ? MemoryPool.page : 64) == 0)
  }

  /// At least what was asked for, a multiple of 64, at most an eighth lost (from 512 bytes on), never
  /// decreasing.
  @Test func blockSizes() {
    var last = 0
    for byteCount in Array(0...3000) + (12...40).flatMap({ power in (-1...1).map { 1 << power + $0 } }) {
      let size = MemoryPool.blockSize(byteCount)
      let isRight = size >= max(byteCount, last) && size % 64 == 0
      guard isRight, byteCount < 512 || size - byteCount <= byteCount / 8 else {
        return #expect(Bool(false), "\(byteCount) bytes get \(size); fewer got \(last)")
      }
      last = size
    }
  }

  /// Blocks of slabs do not overlap, whether they share a slab or need one of their own.
  @Test func blocksOfSlabsAreApart() {
    let tensors = [70_000, 20 << 20, 300_000, 70_000, 1 << 20].map { Tensor([$0], on: device) }
    for (i, tensor) in tensors.enumerated() { tensor.floats.update(repeating: Float(i)) }
    for (i, tensor) in tensors.enumerated() { #expect(tensor.floats.allSatisfy { $0 == Float(i) }) }
  }

  /// A step in its steady state takes nothing from the system.
  @Test func theSecondRunAllocatesNothing() {
    func run() {
      let x = Sample([300, 130], .bfloat16, "steady x").tensor(on: device)
      let weight = Sample([70, 130], .bfloat16, "steady weight").tensor(on: device)
      let y = matmul(x, weight, .nt)
      let dWeight = Tensor.zeros([70, 130], on: device)
      matmul(y, x, .tn, into: (dWeight, true))
      let shape = AttentionShape(
        sequences: 2, queries: 150, keys: 150, heads: 5, nope: 8, rope: 6, value: 6, scale: 0.3,
        interleaved: true)
      let table = RotaryTable(positions: 150, frequencies: [1, 0.1, 0.01], magnitude: 1, on: device)
      let q = y.copied()
      let kr = splitColumns(y, at: 6).left
      let (o, normalizers) = attention(q, y, kr, shape, table)
      _ = attentionGradient(o, q, y, kr, o: o, normalizers: normalizers, shape, table)
      _ = crossEntropyHead(
        x, weight, labels: Tensor([300], [Int32](repeating: 3, count: 300), on: device),
        scale: Tensor([300], [Float](repeating: 1, count: 300), on: device), gradients: (dWeight, true))
    }
    run()
    let (allocations, peak) = (device.pool.systemAllocations, device.pool.peakBytes)
    run()
    #expect(device.pool.systemAllocations == allocations)
    #expect(device.pool.peakBytes == peak)
    #expect(device.pool.liveBytes == 0)
  }

  /// Sizes that differ by less than a quarter share blocks, and a block goes back as what it is.
  @Test func nearbySizesShareBlocks() {
    func addresses(_ counts: [Int]) -> [UnsafeMutableRawPointer] {
      counts.map { Tensor([$0], on: device) }.map(\.pointer)
    }
    let made = Set(addresses([1_000_000, 1_100_000, 1_200_000]))
    #expect(made.count == 3 && device.pool.systemAllocations == 3)
    for counts in [
      [1_000_000, 1_010_000, 1_020_000], [1_199_000, 1_050_000, 990_000], [1_200_000, 1_100_000],
    ] {
      #expect(made.isSuperset(of: addresses(counts)), "\(counts)")
      #expect(Set(addresses(counts)).count == counts.count, "a block was handed out twice")
    }
    #expect(device.pool.systemAllocations == 3 && device.pool.liveBytes == 0)
    // Too small by more: blocks of their own.
    #expect(Set(addresses([780_000])).isDisjoint(with: made))
    #expect(Set(addresses([50_000])).isDisjoint(with: made))
    #expect(device.pool.systemAllocations == 5)
  }

  /// Memory of somebody else: blocks of any size come from it, are used again, and count with those of the device.
  @Test func whatIsLentLiesElsewhere() {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200 << 20, alignment: MemoryPool.page)
    defer { memory.deallocate() }
    var used = 0
    func lies(_ tensor: Tensor) -> Bool {
      memory.baseAddress! <= tensor.pointer
        && tensor.pointer + tensor.byteCount <= memory.baseAddress! + memory.count
    }
    #expect(!lies(device.lending { Tensor([10], on: device) }), "a device that lends nothing")
    device.lentPool = MemoryPool(
      slabs: { byteCount in
        defer { used += byteCount }
        return memory.baseAddress! + used
      }, countingWith: device.pool)
    do {
      let tensors = device.lending { [1, 0, 1000, 70_000, 9 << 20].map { Tensor([$0], on: device) } }
      #expect(tensors.allSatisfy(lies))
      for (i, tensor) in tensors.enumerated() { tensor.floats.update(repeating: Float(i)) }
      for (i, tensor) in tensors.enumerated() { #expect(tensor.floats.allSatisfy { $0 == Float(i) }) }
      #expect(!lies(Tensor([1000], on: device)))
      #expect(device.pool.liveBytes == tensors.reduce(0) { $0 + MemoryPool.blockSize($1.byteCount) })
    }
    #expect(device.pool.liveBytes == 0)
    let before = used
    for _ in 0..<3 { #expect(lies(device.lending { Tensor([70_000], on: device) })) }
    #expect(used == before)
  }

  /// What sanitizers watch: no block is recycled, and the counts are those of the pool that recycles.
  @Test func aPlainPoolRecyclesNothing() {
    let pool = MemoryPool(isPlain: true)
    for round in 1...3 {
      let (small, large) = (pool.take(100), pool.take(1 << 20))
      #expect(pool.liveBytes == MemoryPool.blockSize(100) + 1 << 20)
      pool.giveBack(small, 100)
      pool.giveBack(large, 1 << 20)
      #expect(pool.liveBytes == 0)
      #expect(pool.systemAllocations == 2 * round)
    }
  }
}
