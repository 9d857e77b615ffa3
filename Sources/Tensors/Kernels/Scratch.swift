/// Buffers for each thread, cut from one allocation; each starts on a cache line.
struct Scratch {
  private let memory: Tensor
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
    memory = Tensor([threads, end], on: device)
  }

  func buffers(_ thread: Int) -> [UnsafeMutablePointer<Float>] {
    let base = memory.floats.baseAddress! + thread * stride
    return offsets.map { base + $0 }
  }
}
