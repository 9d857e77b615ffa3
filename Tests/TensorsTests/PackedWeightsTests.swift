import Tensors
import Testing

/// Products with panels that are kept give the bits of those that pack for themselves.
struct PackedWeightsTests {
  /// A product's sizes: rows, columns and what is summed.
  struct Size: CustomTestStringConvertible {
    let m, n, k: Int
    var testDescription: String { "\(m) × \(n) × \(k)" }
  }

  /// One row; last panels that are not full; several blocks of columns; several runs of k of which the last is
  /// shorter, with sums that bfloat16 cannot hold; rows for which columns are packed by each thread, and by all.
  private static let sizes = [
    Size(m: 1, n: 37, k: 130), Size(m: 57, n: 33, k: 9), Size(m: 17, n: 31, k: 1061),
    Size(m: 600, n: 70, k: 31), Size(m: 5, n: 1100, k: 47), Size(m: 9, n: 96, k: 1100),
  ]

  private func weight(_ size: Size, _ layout: Layout, _ kernel: Kernel, _ name: String) -> Sample {
    Sample(layout == .nt ? [size.n, size.k] : [size.k, size.n], kernel.dtype, name)
  }

  @Test(arguments: Kernel.all, [Layout.nt, .nn])
  func products(_ kernel: Kernel, _ layout: Layout) throws {
    for threads in [1, 2, 5] {
      let device = try kernel.device(threads: threads)
      for size in Self.sizes {
        let x = Sample([size.m, size.k], kernel.dtype, "packed x").tensor(on: device)
        let w = weight(size, layout, kernel, "packed w").tensor(on: device)
        let packed = PackedWeights(of: w, for: [.nt, .nn])
        for output in [DType.float32, kernel.dtype] {
          let expected = matmul(x, w, layout, output: output).numbers
          let found = matmul(x, w, layout, output: output, packed: packed)
          #expect(found.numbers == expected, "\(size) into \(output), \(threads) threads")
        }
      }
    }
  }

  /// Other rows are cut into other blocks, which read the same panels.
  @Test(arguments: Kernel.all)
  func anyNumberOfRowsReadsThem(_ kernel: Kernel) throws {
    let (device, n, k) = (try kernel.device(threads: 3), 1100, 61)
    let x = Sample([900, k], kernel.dtype, "packed rows").tensor(on: device)
    let w = Sample([n, k], kernel.dtype, "packed columns").tensor(on: device)
    let packed = PackedWeights(of: w, for: [.nt])
    for rows in [900, 1, 40, 300] {
      let part = x.view(at: 0, [rows, k])
      #expect(matmul(part, w, .nt, packed: packed).numbers == matmul(part, w, .nt).numbers, "\(rows) rows")
    }
  }

  /// The panels of an expert are made when it first has rows.
  @Test(arguments: Kernel.all, [Layout.nt, .nn])
  func experts(_ kernel: Kernel, _ layout: Layout) throws {
    let (n, k) = (70, 530)
    for threads in [1, 4] {
      let device = try kernel.device(threads: threads)
      let source = Sample([150, k], kernel.dtype, "packed tokens").tensor(on: device)
      let picked = Tensor([280], (0..<280).map { (i: Int) -> Int32 in Int32(i * 37 % 150) }, on: device)
      let w = Sample([4, layout == .nt ? n : k, layout == .nt ? k : n], kernel.dtype, "packed experts")
      let wT = w.tensor(on: device)
      let packed = PackedWeights(of: wT, for: [layout])
      for offsets in [[0, 0, 270, 270, 280], [0, 5, 6, 279, 280], [0, 280, 280, 280, 280]] {
        let expected = groupedMatmul(source, gathering: picked, wT, layout, offsets: offsets)
        let found = groupedMatmul(source, gathering: picked, wT, layout, offsets: offsets, packed: packed)
        #expect(found.numbers == expected.numbers, "\(offsets), \(threads) threads")
      }
    }
  }

  /// With SwiGLU on rows that are complete; and the head, chunk by chunk.
  @Test(arguments: Kernel.all)
  func productsWithMoreInOneLoop(_ kernel: Kernel) throws {
    let (device, rows, offsets) = (try kernel.device(threads: 2), 90, [0, 7, 7, 90])
    let weight = Sample([rows], .float32, "packed factors").tensor(on: device)
    let tokens = Tensor([rows], (0..<rows).map { Int32($0 * 37 % 60) }, on: device)
    let x = Sample([60, 41], kernel.dtype, "packed gated").tensor(on: device)
    let up = Sample([3, 2 * 35, 41], kernel.dtype, "packed up").tensor(on: device)
    let down = Sample([3, 41, 35], kernel.dtype, "packed down").tensor(on: device)
    let h = groupedSwiGLU(x, gathering: tokens, up, weight: weight, offsets: offsets)
    let gradient = groupedSwiGLUGradient(x, gathering: tokens, down, h: h.h, weight: weight, offsets: offsets)
    let (packedUp, packedDown) = (PackedWeights(of: up, for: [.nt]), PackedWeights(of: down, for: [.nn]))
    for _ in 1...2 {
      let found = groupedSwiGLU(
        x, gathering: tokens, up, weight: weight, offsets: offsets, packed: packedUp)
      #expect(found.h.numbers == h.h.numbers && found.a.numbers == h.a.numbers)
      let again = groupedSwiGLUGradient(
        x, gathering: tokens, down, h: h.h, weight: weight, offsets: offsets, packed: packedDown)
      #expect(again.dh.numbers == gradient.dh.numbers && again.a.numbers == gradient.a.numbers)
      #expect(again.dweight.numbers == gradient.dweight.numbers)
    }

    let w = Sample([50, 41], kernel.dtype, "packed head").tensor(on: device)
    let labels = Tensor([60], (0..<60).map { Int32($0 % 50) }, on: device)
    let scale = weight.view(at: 0, [60])
    let (sums, others) = (Tensor.zeros([50, 41], on: device), Tensor.zeros([50, 41], on: device))
    let head = crossEntropyHead(x, w, labels: labels, scale: scale, gradients: (sums, true))
    let packed = PackedWeights(of: w, for: [.nt, .nn])
    let found = crossEntropyHead(
      x, w, labels: labels, scale: scale, packed: packed, gradients: (others, true))
    #expect(found.losses.numbers == head.losses.numbers && sums.numbers == others.numbers)
    #expect(found.inputGradient?.numbers == head.inputGradient?.numbers)
  }

  /// Until it is told of the change a product reads the old panels, which shows that it reads panels at all; then the
  /// new weight in every layout, without more memory.
  @Test(arguments: Kernel.all, [Layout.nt, .nn])
  func changesAreSeen(_ kernel: Kernel, _ layout: Layout) throws {
    let (device, size) = (try kernel.device(threads: 2), Size(m: 40, n: 64, k: 64))
    let x = Sample([size.m, size.k], kernel.dtype, "packed x").tensor(on: device)
    let w = weight(size, layout, kernel, "packed before").tensor(on: device)
    let packed = PackedWeights(of: w, for: [layout])
    #expect(packed.byteCount == 0)
    let before = matmul(x, w, layout, packed: packed).numbers
    let bytes = packed.byteCount
    #expect(bytes == size.n * size.k * 4 || (bytes == size.n * size.k * 2 && kernel.dtype == .bfloat16))

    w.convert(from: weight(size, layout, kernel, "packed after").tensor(on: device))
    let after = matmul(x, w, layout).numbers
    #expect(after != before)
    #expect(matmul(x, w, layout, packed: packed).numbers == before)
    packed.weightDidChange()
    #expect(matmul(x, w, layout, packed: packed).numbers == after)
    #expect(packed.byteCount == bytes)
  }

  /// Once for any number of products, in each layout; not for a layout that is not kept.
  @Test func packedOnce() throws {
    let device = try Device(threads: 2)
    let x = Sample([30, 64], .float32, "packed x").tensor(on: device)
    let w = Sample([64, 64], .float32, "packed w").tensor(on: device)
    let profiler = Profiler()
    device.profiler = profiler
    for layouts in [[Layout.nt], [.nt, .nn]] {
      let packed = PackedWeights(of: w, for: layouts)
      for _ in 1...3 {
        matmul(x, w, .nt, packed: packed)
        matmul(x, w, .nn, packed: packed)
      }
    }
    let calls = profiler.entries.filter { $0.key.kernel.hasPrefix("pack weights") }
    #expect(calls.map(\.value.calls).sorted() == [1, 2])
  }
}
