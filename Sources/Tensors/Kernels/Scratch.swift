/// Buffers of floats for each thread, cut from one allocation; each starts on a cache line. From a plain pool each is a
/// block of its own: tools that watch bounds would not see one buffer run into the next.
struct Scratch {
  /// One tensor for all buffers, or one for each: those of the first thread, those of the second, …
  private let memory: [Tensor]
  private let offsets: [Int]
  private let stride: Int

  init(sizes: [Int], threads: Int, on device: Device) {
    var offsets: [Int] = []
    var end = 0
    for size in sizes {
      offsets.append(end)
      end += (size + 15) / 16 * 16
    }
    self.offsets = offsets
    stride = end
    if device.pool.isPlain {
      memory = (0..<threads).flatMap { _ in sizes.map { Tensor([$0], on: device) } }
    } else {
      memory = [Tensor([threads, end], on: device)]
    }
  }

  func buffers(_ thread: Int) -> [UnsafeMutablePointer<Float>] {
    if memory[0].device.pool.isPlain {
      let first = thread * offsets.count
      return memory[first..<first + offsets.count].map { $0.floats.baseAddress! }
    }
    let base = memory[0].floats.baseAddress! + thread * stride
    return offsets.map { base + $0 }
  }
}
