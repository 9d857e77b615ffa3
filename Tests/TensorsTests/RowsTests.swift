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

  /// Ids that repeat, ids that do not occur, and a sum that is not zero at the start.
  @Test(arguments: Kernel.all)
  func scatterAdd(_ kernel: Kernel) throws {
    let (width, device) = (21, try kernel.device())
    let ids: [Int32] = [4, 9, 4, 0, 9, 9, 9, 2]
    let (x, start) = (
      Sample([8, width], kernel.dtype, "scatter"), Sample([10, width], .float32, "scatter sum")
    )
    var expected = start.doubles
    for (t, id) in ids.enumerated() {
      for i in 0..<width { expected[Int(id) * width + i] += x[t * width + i] }
    }
    let sum = start.tensor(on: device)
    scatterAddRows(x.tensor(on: device), ids: ids, into: sum)
    #expect(firstDifference(sum, expected, roundings: 4) == nil)
    for untouched in [1, 3, 5] {
      #expect(
        Array(sum.floats[untouched * width..<(untouched + 1) * width])
          == Array(start.values[untouched * width..<(untouched + 1) * width]))
    }
    let before = sum.numbers
    scatterAddRows(Tensor([0, width], kernel.dtype, on: device), ids: [], into: sum)
    #expect(sum.numbers == before)
  }

  @Test(arguments: Kernel.all)
  func columnBlocks(_ kernel: Kernel) throws {
    let (rows, width, device) = (5, 17, try kernel.device())
    let x = Sample([rows, width], kernel.dtype, "columns")
    let cut = columns(x.tensor(on: device), from: 3, width: 9)
    #expect(cut.numbers == (0..<rows).flatMap { t in (3..<12).map { x.values[t * width + $0] } })
    // Back into another place of a larger matrix; the other columns stay.
    let target = Sample([rows, 12], kernel.dtype, "columns target")
    let y = target.tensor(on: device)
    copyColumns(cut, from: 1, into: y, at: 4, width: 2)
    let expected = (0..<rows).flatMap { t in
      (0..<12).map { $0 == 4 || $0 == 5 ? x.values[t * width + $0] : target.values[t * 12 + $0] }
    }
    #expect(y.numbers == expected)
  }
}
