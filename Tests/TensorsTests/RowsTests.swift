import Numerics
import Tensors
import Testing

/// Moving and adding rows: exact where nothing is rounded.
struct RowsTests {
  @Test(arguments: Kernel.all, [1, 31, 1000])
  func addition(_ kernel: Kernel, count: Int) throws {
    let device = try kernel.device()
    let (a, b) = (Sample([count], kernel.dtype, "a"), Sample([count], kernel.dtype, "b"))
    let expected = (0..<count).map { a[$0] + b[$0] }
    let (aT, bT) = (a.tensor(on: device), b.tensor(on: device))
    #expect(firstDifference(add(aT, bT), expected, roundings: 1) == nil)
    add(aT, bT, into: bT)
    #expect(firstDifference(bT, expected, roundings: 1) == nil, "in place")
  }

  @Test(arguments: Kernel.all)
  func gather(_ kernel: Kernel) throws {
    let (width, device) = (13, try kernel.device())
    let x = Sample([6, width], kernel.dtype, "gather")
    let index: [Int32] = [5, 0, 0, 3, 5, 1, 2]
    let found = gatherRows(x.tensor(on: device), Tensor([7], index, on: device))
    #expect(found.numbers == index.flatMap { i in (0..<width).map { x.values[Int(i) * width + $0] } })
    #expect(gatherRows(x.tensor(on: device), Tensor([0], [Int32](), on: device)).count == 0)
  }

  /// Wider than the 64 columns that the kernel sums at once.
  @Test(arguments: Kernel.all, [1, 63, 64, 150])
  func combine(_ kernel: Kernel, width: Int) throws {
    let (tokens, selected, device) = (9, 3, try kernel.device())
    let x = Sample([tokens * selected, width], kernel.dtype, "combine")
    let positions = (0..<tokens * selected).map { Int32($0 * 10 % (tokens * selected)) }
    let expected = (0..<tokens * width).map { i in
      (0..<selected).reduce(0.0) { $0 + x[Int(positions[i / width * selected + $1]) * width + i % width] }
    }
    let found = combineRows(
      x.tensor(on: device), positions: Tensor([tokens, selected], positions, on: device))
    #expect(firstDifference(found, expected, roundings: selected) == nil)
  }

  /// Each column of the positions has rows of its own, in memory of anybody.
  @Test(arguments: Kernel.all, [63, 150])
  func combineSources(_ kernel: Kernel, width: Int) throws {
    let (tokens, device) = (9, try kernel.device())
    let samples = [4, 9, 1].map { Sample([$0, width], kernel.dtype, "source \($0)") }
    var positions: [Int32] = []
    for t in 0..<tokens { positions += [Int32(t % 5 - 1), Int32(tokens - 1 - t), t == 3 ? 0 : -1] }
    var expected = [Double](repeating: 0, count: tokens * width)
    for i in expected.indices {
      for k in 0..<3 {
        let row = Int(positions[i / width * 3 + k])
        if row >= 0 { expected[i] += samples[k][row * width + i % width] }
      }
    }
    var sources = samples.map { $0.tensor(on: device) }
    let whole = sources[1]
    sources[1] = Tensor(
      whole.shape, whole.dtype, reading: UnsafeRawBufferPointer(whole.buffer), of: whole.storage, on: device)
    let found = combineRows(sources, positions: Tensor([tokens, 3], positions, on: device))
    #expect(firstDifference(found, expected, roundings: 3) == nil)
  }

  @Test(arguments: Kernel.all)
  func copy(_ kernel: Kernel) throws {
    let device = try kernel.device()
    let x = Sample([301, 37], kernel.dtype, "copy").tensor(on: device)
    let y = Tensor([301, 37], kernel.dtype, on: device)
    copyRows(x, into: y)
    #expect(y.numbers == x.numbers)
  }

  /// Ids that repeat, ids that do not occur (at both ends and between), and a sum that is not zero at the start: added
  /// to, or overwritten.
  @Test(arguments: Kernel.all, [true, false])
  func scatterAdd(_ kernel: Kernel, accumulate: Bool) throws {
    let (width, device) = (21, try kernel.device())
    let ids: [Int32] = [4, 8, 4, 1, 8, 8, 8, 2]
    let (x, start) = (
      Sample([8, width], kernel.dtype, "scatter"), Sample([10, width], .float32, "scatter sum")
    )
    var expected = accumulate ? start.doubles : [Double](repeating: 0, count: 10 * width)
    for (t, id) in ids.enumerated() {
      for i in 0..<width { expected[Int(id) * width + i] += x[t * width + i] }
    }
    let sum = start.tensor(on: device)
    scatterAddRows(x.tensor(on: device), ids: Tensor([8], ids, on: device), into: sum, accumulate: accumulate)
    #expect(firstDifference(sum, expected, roundings: 4) == nil)
    for untouched in [0, 3, 5, 9] {
      let row = untouched * width..<(untouched + 1) * width
      #expect(Array(sum.floats[row]) == (accumulate ? Array(start.values[row]) : row.map { _ in 0 }))
    }
    let before = sum.numbers
    let none = Tensor([0, width], kernel.dtype, on: device)
    scatterAddRows(none, ids: Tensor([0], .int32, on: device), into: sum, accumulate: accumulate)
    #expect(sum.numbers == (accumulate ? before : before.map { _ in 0 }))
  }

  /// The sort by id takes one pass for every 11 bits of the largest id: one, two and three of them.
  @Test(arguments: Device.supportedLevels(), [3, 2047, 2048, 5_000_000])
  func scatterAddSortsAnyIds(level: String, largest: Int) throws {
    let (device, rows) = (try Device(threads: 2, level: level), 700)
    let ids = (0..<rows).map { Int32($0 == 123 ? largest : $0 * 7919 % (largest + 1)) }
    // Float32 sums in the order of the rows: another order would give other bits.
    let x = randomNumbers(rows, "scatter ids")
    var expected = [Int32: Float]()
    for (id, value) in zip(ids, x) { expected[id, default: 0] += value }
    let sum = Tensor([largest + 1, 1], on: device)
    scatterAddRows(
      Tensor([rows, 1], x, on: device), ids: Tensor([rows], ids, on: device), into: sum, accumulate: false)
    for (id, value) in expected { #expect(sum.floats[Int(id)] == value, "id \(id)") }
    let others = sum.floats.count { $0 != 0 }
    #expect(others == expected.values.count { $0 != 0 })
  }

  @Test(arguments: Kernel.all)
  func mask(_ kernel: Kernel) throws {
    let (width, device) = (13, try kernel.device())
    let x = Sample([4, width], kernel.dtype, "mask")
    let keeps = [false, true, true, false]
    let expected = x.values.enumerated().map { keeps[$0.offset / width] ? $0.element : 0 }
    #expect(maskRows(x.tensor(on: device), keeps).numbers == expected)
  }

  @Test(arguments: Device.supportedLevels())
  func indicesOutside(level: String) throws {
    let device = try Device(threads: 1, level: level)
    let values = (0..<100).map { Int32($0 % 7) }
    let index = Tensor([100], values, on: device)
    #expect(index.firstOutside(7) == nil && index.firstOutside(6) == 6)
    for place in [0, 1, 50, 99] {
      for bad in [-1, 7, Int32.min, .max] {
        index.elements(Int32.self)[place] = bad
        #expect(index.firstOutside(7) == place)
      }
      index.elements(Int32.self)[place] = values[place]
    }
    #expect(Tensor([0], .int32, on: device).firstOutside(1) == nil)
  }

  @Test(arguments: Kernel.all, [1, 3, 16])
  func columnBlocks(_ kernel: Kernel, width: Int) throws {
    let (rows, device) = (5, try kernel.device())
    let x = Sample([rows, 17], kernel.dtype, "columns")
    let (left, right) = splitColumns(x.tensor(on: device), at: width)
    #expect(left.shape == [rows, width] && right.shape == [rows, 17 - width])
    #expect(left.numbers == (0..<rows).flatMap { t in (0..<width).map { x.values[t * 17 + $0] } })
    #expect(right.numbers == (0..<rows).flatMap { t in (width..<17).map { x.values[t * 17 + $0] } })
    #expect(joinColumns(left, right).numbers == x.values)
  }
}
