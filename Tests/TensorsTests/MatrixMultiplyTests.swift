import Tensors
import Testing

/// Products in the three layouts against Double loops.
struct MatrixMultiplyTests {
  struct Size: CustomTestStringConvertible {
    let m, n, k: Int
    var testDescription: String { "\(m) × \(n) × \(k)" }
  }

  /// One element, odd sizes, and sizes that need several tiles (256 × 512) in one or both directions.
  private static let sizes = [
    Size(m: 1, n: 1, k: 1), Size(m: 3, n: 5, k: 7), Size(m: 1, n: 37, k: 130), Size(m: 257, n: 3, k: 9),
    Size(m: 5, n: 1025, k: 3), Size(m: 300, n: 600, k: 5),
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
    let (aRow, aColumn) = layout == .tn ? (1, s.m) : (s.k, 1)
    let (bRow, bColumn) = layout == .nt ? (1, s.k) : (s.n, 1)
    var y = [Double](repeating: 0, count: s.m * s.n)
    a.values.withUnsafeBufferPointer { a in
      b.values.withUnsafeBufferPointer { b in
        for i in 0..<s.m {
          for j in 0..<s.n {
            var (sum, p) = (0.0, 0)
            while p < s.k {
              sum += Double(a[aAt + i * aRow + p * aColumn]) * Double(b[bAt + p * bRow + j * bColumn])
              p += 1
            }
            y[i * s.n + j] = sum
          }
        }
      }
    }
    return y
  }

  @Test(arguments: [Layout.nt, .nn, .tn], sizes)
  func products(_ layout: Layout, _ size: Size) throws {
    let (device, shapes) = (try Device(threads: 2), shapes(layout, size))
    let (a, b) = (Sample(shapes.a, .float32, "left"), Sample(shapes.b, .float32, "right"))
    let expected = reference(a, b, layout, size)
    let y = matmul(a.tensor(on: device), b.tensor(on: device), layout)
    #expect(y.shape == [size.m, size.n])
    #expect(firstDifference(y, expected, roundings: size.k) == nil)
    let start = Sample([size.m, size.n], .float32, "start")
    let sum = start.tensor(on: device)
    let returned = matmul(a.tensor(on: device), b.tensor(on: device), layout, addingTo: sum)
    #expect(returned.pointer == sum.pointer)
    let added = zip(start.doubles, expected).map { $0 + $1 }
    #expect(firstDifference(sum, added, roundings: size.k + 1) == nil, "accumulated")
  }

  /// bfloat16 operands: products are exact in float32, the result is rounded once, or not at all when asked.
  @Test(arguments: Device.supportedLevels(), [Layout.nt, .nn, .tn])
  func bfloat16Products(level: String, _ layout: Layout) throws {
    let (device, size) = (try Device(threads: 2, level: level), Size(m: 29, n: 35, k: 21))
    let shapes = shapes(layout, size)
    let (a, b) = (Sample(shapes.a, .bfloat16, "left"), Sample(shapes.b, .bfloat16, "right"))
    let (aT, bT, expected) = (a.tensor(on: device), b.tensor(on: device), reference(a, b, layout, size))
    let rounded = matmul(aT, bT, layout)
    #expect(rounded.dtype == .bfloat16)
    #expect(firstDifference(rounded, expected, roundings: size.k) == nil)
    let wide = matmul(aT, bT, layout, output: .float32)
    #expect(wide.dtype == .float32)
    #expect(firstDifference(wide, expected, roundings: size.k) == nil)
    let sum = Tensor.zeros([size.m, size.n], on: device)
    _ = matmul(aT, bT, layout, addingTo: sum)
    #expect(firstDifference(sum, expected, roundings: size.k) == nil, "accumulated")
  }

  /// Groups that are empty at the start, in the middle and at the end, and one larger than a tile.
  private static let offsets = [0, 0, 5, 5, 6, 280, 280]

  @Test(arguments: [Layout.nt, .nn], [DType.float32, .bfloat16])
  func groupedProducts(_ layout: Layout, _ dtype: DType) throws {
    let (device, n, k) = (try Device(threads: 2), 11, 7)
    let a = Sample([280, k], dtype, "grouped left")
    let b = Sample(layout == .nt ? [6, n, k] : [6, k, n], dtype, "grouped right")
    let expected = (0..<6).flatMap { e in
      let rows = Self.offsets[e + 1] - Self.offsets[e]
      return reference(a, b, layout, Size(m: rows, n: n, k: k), aAt: Self.offsets[e] * k, bAt: e * n * k)
    }
    let found = groupedMatmul(a.tensor(on: device), b.tensor(on: device), layout, offsets: Self.offsets)
    #expect(found.shape == [280, n] && found.dtype == dtype)
    #expect(firstDifference(found, expected, roundings: k) == nil)
  }

  /// Each expert's gradient is added to what is there; an expert without rows keeps its own.
  @Test(arguments: [DType.float32, .bfloat16])
  func groupedWeightGradients(_ dtype: DType) throws {
    let (device, m, n) = (try Device(threads: 2), 9, 13)
    let (a, b) = (Sample([280, m], dtype, "Wgrad left"), Sample([280, n], dtype, "Wgrad right"))
    let start = Sample([6, m, n], .float32, "Wgrad start")
    let sums = (0..<6).flatMap { e in
      let (first, last) = (Self.offsets[e], Self.offsets[e + 1])
      return reference(a, b, .tn, Size(m: m, n: n, k: last - first), aAt: first * m, bAt: first * n)
    }
    let y = start.tensor(on: device)
    groupedWeightGradient(a.tensor(on: device), b.tensor(on: device), offsets: Self.offsets, addingTo: y)
    #expect(firstDifference(y, zip(start.doubles, sums).map { $0 + $1 }, roundings: 280) == nil)
    for empty in [0, 2, 5] {
      let range = empty * m * n..<(empty + 1) * m * n
      #expect(y.numbers[range] == start.values[range], "expert \(empty) has no rows")
    }
  }

  @Test func noRowsGiveNoRows() throws {
    let device = try Device(threads: 2)
    let weight = Sample([5, 7], .float32, "weight").tensor(on: device)
    #expect(matmul(Tensor([0, 7], on: device), weight, .nt).shape == [0, 5])
    let experts = Sample([2, 5, 7], .float32, "experts").tensor(on: device)
    #expect(groupedMatmul(Tensor([0, 7], on: device), experts, .nt, offsets: [0, 0, 0]).shape == [0, 5])
  }
}
