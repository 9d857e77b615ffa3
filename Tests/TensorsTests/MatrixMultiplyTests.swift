import Tensors
import Testing

/// Products in the three layouts against Double loops.
struct MatrixMultiplyTests {
  struct Size: CustomTestStringConvertible {
    let m, n, k: Int
    var testDescription: String { "\(m) × \(n) × \(k)" }
  }

  /// One element; odd sizes; panels and their last rows and columns; several blocks of columns, several runs of k;
  /// k so long for its few sums that it is cut, and columns that are read in place.
  private static let sizes = [
    Size(m: 1, n: 1, k: 1), Size(m: 3, n: 5, k: 7), Size(m: 1, n: 37, k: 130), Size(m: 57, n: 33, k: 9),
    Size(m: 33, n: 64, k: 97), Size(m: 5, n: 1025, k: 3), Size(m: 17, n: 31, k: 1061),
    Size(m: 9, n: 96, k: 1100), Size(m: 64, n: 33, k: 4700),
  ]

  private func shapes(_ layout: Layout, _ s: Size) -> (a: [Int], b: [Int]) {
    switch layout {
    case .nt: ([s.m, s.k], [s.n, s.k])
    case .nn: ([s.m, s.k], [s.k, s.n])
    case .tn: ([s.k, s.m], [s.k, s.n])
    }
  }

  /// `start + a b`; slices of larger arrays by offset.
  private func reference(
    _ a: Sample, _ b: Sample, _ layout: Layout, _ s: Size, aAt: Int = 0, bAt: Int = 0
  ) -> [Double] {
    doubleProduct(a.values, b.values, layout, m: s.m, n: s.n, k: s.k, aAt: aAt, bAt: bAt)
  }

  @Test(arguments: Kernel.all, [Layout.nt, .nn, .tn])
  func products(_ kernel: Kernel, _ layout: Layout) throws {
    let device = try kernel.device()
    for size in Self.sizes {
      let shapes = shapes(layout, size)
      let (a, b) = (Sample(shapes.a, kernel.dtype, "left"), Sample(shapes.b, kernel.dtype, "right"))
      let (aT, bT, expected) = (a.tensor(on: device), b.tensor(on: device), reference(a, b, layout, size))
      let y = matmul(aT, bT, layout)
      #expect(y.shape == [size.m, size.n] && y.dtype == kernel.dtype)
      #expect(firstDifference(y, expected, roundings: size.k) == nil, "\(size)")
      let start = Sample([size.m, size.n], .float32, "start")
      let sum = start.tensor(on: device)
      let returned = matmul(aT, bT, layout, into: (sum, true))
      #expect(returned.pointer == sum.pointer)
      let added = zip(start.doubles, expected).map { $0 + $1 }
      #expect(firstDifference(sum, added, roundings: size.k + 1) == nil, "\(size) accumulated")
      matmul(aT, bT, layout, into: (sum, false))
      #expect(firstDifference(sum, expected, roundings: size.k) == nil, "\(size) overwritten, not rounded")
    }
  }

  /// So long a k that its runs do not fit together, and a result that cannot hold their sums.
  @Test(arguments: Kernel.all)
  func longSums(_ kernel: Kernel) throws {
    let (device, size) = (try kernel.device(), Size(m: 15, n: 35, k: 10_007))
    for layout in [Layout.nt, .nn, .tn] {
      let shapes = shapes(layout, size)
      let (a, b) = (Sample(shapes.a, kernel.dtype, "left"), Sample(shapes.b, kernel.dtype, "right"))
      let y = matmul(a.tensor(on: device), b.tensor(on: device), layout)
      #expect(firstDifference(y, reference(a, b, layout, size), roundings: size.k) == nil, "\(layout)")
    }
  }

  /// One operand rounded, the other not: the router reads activations and a float32 matrix.
  @Test(arguments: Device.supportedLevels(), [Layout.nt, .nn, .tn])
  func mixedOperands(level: String, _ layout: Layout) throws {
    let (device, size) = (try Device(threads: 2, level: level), Size(m: 29, n: 35, k: 21))
    let shapes = shapes(layout, size)
    for (left, right) in [(DType.float32, DType.bfloat16), (.bfloat16, .float32)] {
      let (a, b) = (Sample(shapes.a, left, "left"), Sample(shapes.b, right, "right"))
      let y = matmul(a.tensor(on: device), b.tensor(on: device), layout, output: .float32)
      #expect(
        firstDifference(y, reference(a, b, layout, size), roundings: size.k) == nil, "\(left), \(right)")
    }
  }

  /// Groups that are empty at the start, in the middle and at the end, and one larger than a tile.
  private static let offsets = [0, 0, 5, 5, 6, 280, 280]

  /// Rows of expert groups that are read where they stand: some twice, some never.
  private static let gathered: [Int32] = (0..<280).map { (i: Int) -> Int32 in Int32((i * 37 + i / 9) % 150) }

  private func gather(_ x: Sample) -> Sample {
    let width = x.shape[1]
    let rows = Self.gathered.flatMap { x.values[Int($0) * width..<(Int($0) + 1) * width] }
    return Sample([Self.gathered.count, width], x.dtype, rows)
  }

  @Test(arguments: Kernel.all, [Layout.nt, .nn])
  func groupedProducts(_ kernel: Kernel, _ layout: Layout) throws {
    let (device, n, k) = (try kernel.device(), 41, 37)
    let source = Sample([150, k], kernel.dtype, "grouped left")
    let (a, index) = (gather(source), Tensor([280], Self.gathered, on: device))
    let b = Sample(layout == .nt ? [6, n, k] : [6, k, n], kernel.dtype, "grouped right")
    let expected = (0..<6).flatMap { e in
      let rows = Self.offsets[e + 1] - Self.offsets[e]
      return reference(a, b, layout, Size(m: rows, n: n, k: k), aAt: Self.offsets[e] * k, bAt: e * n * k)
    }
    let bT = b.tensor(on: device)
    let found = groupedMatmul(a.tensor(on: device), bT, layout, offsets: Self.offsets)
    #expect(found.shape == [280, n] && found.dtype == kernel.dtype)
    #expect(firstDifference(found, expected, roundings: k) == nil)
    let inPlace = groupedMatmul(
      source.tensor(on: device), gathering: index, bT, layout, offsets: Self.offsets)
    #expect(inPlace.numbers == found.numbers, "gathered while packing")
  }

  /// Each expert's gradient is added to what is there; an expert without rows keeps its own, or gets zeros.
  @Test(arguments: Kernel.all)
  func groupedWeightGradients(_ kernel: Kernel) throws {
    let (device, m, n) = (try kernel.device(), 39, 43)
    let (aSource, bSource) = (
      Sample([150, m], kernel.dtype, "Wgrad left"), Sample([150, n], kernel.dtype, "Wgrad right")
    )
    let (a, b, index) = (gather(aSource), gather(bSource), Tensor([280], Self.gathered, on: device))
    let start = Sample([6, m, n], .float32, "Wgrad start")
    let sums = (0..<6).flatMap { e in
      let (first, last) = (Self.offsets[e], Self.offsets[e + 1])
      return reference(a, b, .tn, Size(m: m, n: n, k: last - first), aAt: first * m, bAt: first * n)
    }
    let y = start.tensor(on: device)
    groupedWeightGradient(a.tensor(on: device), b.tensor(on: device), offsets: Self.offsets, into: (y, true))
    #expect(firstDifference(y, zip(start.doubles, sums).map { $0 + $1 }, roundings: 280) == nil)
    for empty in [0, 2, 5] {
      let range = empty * m * n..<(empty + 1) * m * n
      #expect(y.numbers[range] == start.values[range], "expert \(empty) has no rows")
    }
    groupedWeightGradient(
      a.tensor(on: device), bSource.tensor(on: device), gathering: (nil, index), offsets: Self.offsets,
      into: (y, false))
    #expect(firstDifference(y, sums, roundings: 280) == nil, "overwritten")
    let again = Tensor.zeros([6, m, n], on: device)
    groupedWeightGradient(
      aSource.tensor(on: device), b.tensor(on: device), gathering: (index, nil), offsets: Self.offsets,
      into: (again, true))
    #expect(again.numbers == y.numbers, "gathered while packing")
  }

  @Test func noRowsGiveNoRows() throws {
    let device = try Device(threads: 2)
    let weight = Sample([5, 7], .float32, "weight").tensor(on: device)
    #expect(matmul(Tensor([0, 7], on: device), weight, .nt).shape == [0, 5])
    let experts = Sample([2, 5, 7], .float32, "experts").tensor(on: device)
    #expect(groupedMatmul(Tensor([0, 7], on: device), experts, .nt, offsets: [0, 0, 0]).shape == [0, 5])
  }
}
