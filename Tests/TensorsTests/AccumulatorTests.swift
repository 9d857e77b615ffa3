import Tensors
import Testing

/// Sums that are not cleared by writing zeros.
struct AccumulatorTests {
  private let device: Device
  init() throws { device = try Device(threads: 1) }

  private func tensor(_ values: [Float]) -> Tensor { Tensor([values.count], values, on: device) }

  /// The first addition overwrites whatever is there, the next ones add; after clearing it begins again.
  @Test func theFirstAdditionOverwrites() {
    let accumulator = Accumulator([3], on: device)
    let (sums, accumulate) = accumulator.takeTarget()
    #expect(!accumulate && !accumulator.isEmpty)
    for i in 0..<3 { sums.floats[i] = .nan }
    accumulator.clear()
    #expect(accumulator.isEmpty)
    accumulator.add(tensor([1, 2, 3]))
    accumulator.add(tensor([10, 20, -30]))
    #expect(accumulator.sums.numbers == [11, 22, -27])
    let (again, accumulates) = accumulator.takeTarget()
    #expect(accumulates && again.pointer == sums.pointer)
    accumulator.clear()
    accumulator.add(tensor([4, 5, 6]))
    #expect(accumulator.sums.numbers == [4, 5, 6])
  }

  /// Reading what received nothing gives zeros, and what comes after is added to them.
  @Test func nothingReadsAsZero() {
    let accumulator = Accumulator([2], on: device)
    accumulator.add(tensor([.nan, 7]))
    accumulator.clear()
    #expect(accumulator.sums.numbers == [0, 0])
    #expect(accumulator.takeTarget().accumulate)
    accumulator.add(tensor([1, 2]))
    #expect(accumulator.sums.numbers == [1, 2])
  }

  /// No memory before the first use: inference needs no gradients.
  @Test func memoryIsTakenWhenFirstUsed() {
    let before = device.pool.liveBytes
    let accumulator = Accumulator([1000], on: device)
    accumulator.clear()
    #expect(device.pool.liveBytes == before)
    _ = accumulator.takeTarget()
    #expect(device.pool.liveBytes == before + MemoryPool.blockSize(4000))
  }
}
