import Checkpoint
import OracleSupport
import Tensors
import Testing

/// Products of codes against Double sums over the dequantized operands, on every level and by both routes.
struct QuantizedProductsTests {
  struct Case: CustomTestStringConvertible {
    let level: String
    let powerOfTwo: Bool
    var testDescription: String { "\(level), \(powerOfTwo ? "powers of two" : "float32 scales")" }

    static var all: [Case] {
      Device.supportedLevels().flatMap { level in [false, true].map { Case(level: level, powerOfTwo: $0) } }
    }

    var settings: ScaleSettings { ScaleSettings(powerOfTwo: powerOfTwo) }

    /// Float32 scales cannot be folded into bfloat16 panels.
    var routes: [ScaleRoute?] {
      let multipliesFloats = ["avx512", "avx2", "portable"].contains(level)
      return powerOfTwo || multipliesFloats ? [nil, .folded, .promoted] : [nil, .promoted]
    }
  }

  private struct Size {
    let m, n, k: Int
  }

  /// Less than a tile; whole tiles; tiles, panels and blocks that are cut short; several runs of k.
  private static let sizes = [
    Size(m: 1, n: 1, k: 1), Size(m: 16, n: 64, k: 128), Size(m: 35, n: 150, k: 130),
    Size(m: 57, n: 33, k: 300), Size(m: 20, n: 545, k: 260), Size(m: 15, n: 40, k: 1_100),
  ]

  /// `‖found − expected‖ / ‖expected‖`
  private func error(_ found: [Float], _ expected: [Double]) -> Double {
    let difference = zip(found, expected).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    return (difference / expected.reduce(0) { $0 + $1 * $1 }).squareRoot()
  }

  /// `Σ_p a(i, p) b(p, j)`; a and b as the layout has them, from these offsets on.
  private func product(
    _ a: [Float], _ b: [Float], _ layout: Layout, _ s: Size, aAt: Int = 0, bAt: Int = 0
  ) -> [Double] {
    doubleProduct(a, b, layout, m: s.m, n: s.n, k: s.k, aAt: aAt, bAt: bAt)
  }

  private func quantized(
    _ x: Tensor, isLeft: Bool, _ layout: Layout, _ settings: ScaleSettings, offsets: [Int]? = nil
  ) -> QuantizedTensor {
    if layout == .tn { return quantizeColumns(x, offsets: offsets, settings) }
    return isLeft ? quantizeRows(x, settings) : quantizeBlocks(x, period: x.rows, settings)
  }

  @Test(arguments: Case.all, [Layout.nt, .nn, .tn])
  func products(_ test: Case, _ layout: Layout) throws {
    let device = try Device(threads: 3, level: test.level)
    for s in Self.sizes {
      let a = Sample(layout == .tn ? [s.k, s.m] : [s.m, s.k], .bfloat16, "codes left")
      let b = Sample(layout == .nt ? [s.n, s.k] : [s.k, s.n], .float32, "codes right")
      let left = quantized(a.tensor(on: device), isLeft: true, layout, test.settings)
      let right = quantized(b.tensor(on: device), isLeft: false, layout, test.settings)
      let expected = product(
        left.dequantized(to: .float32).numbers, right.dequantized(to: .float32).numbers, layout, s)
      let exact = product(a.values, b.values, layout, s)
      for route in test.routes {
        let y = matmul(left, right, layout, output: .float32, route: route)
        #expect(y.shape == [s.m, s.n])
        #expect(error(y.numbers, expected) < 1e-6, "\(s), \(String(describing: route))")
        #expect(dissimilarity(y.numbers.map(Double.init), exact) < 2e-3, "\(s)")
        matmul(left, right, layout, route: route, into: (y, true))
        #expect(error(y.numbers, expected.map { 2 * $0 }) < 1e-6, "\(s) added")
        let rounded = matmul(left, right, layout, route: route)
        #expect(rounded.dtype == .bfloat16 && error(rounded.numbers, expected) < 0x1p-8, "\(s) rounded")
      }
    }
  }

  /// Fprop from other software: codes, scales and their product in float64.
  @Test(arguments: Device.supportedLevels())
  func oracle(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let file = try SafetensorsFile(oracleDirectory + "/fp8/blockwise.safetensors")
    let x = Tensor([256, 512], try file.floats("x"), on: device)
    let w = Tensor([384, 512], try file.floats("w"), on: device)
    let settings = ScaleSettings(amaxFloor: 0)
    let y = matmul(
      quantizeRows(x, settings), quantizeBlocks(w, period: 384, settings), .nt, output: .float32)
    let bytes = try file.bytes("y.f64_of_dequantised")
    let expected = (0..<y.count).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    #expect(error(y.numbers, expected) < 1e-6)
  }

  /// The similarity that DeepGEMM asks of its kernels, where there are enough terms for errors to average.
  @Test(arguments: Case.all)
  func similarity(_ test: Case) throws {
    let (device, s) = (try Device(threads: 2, level: test.level), Size(m: 24, n: 40, k: 2_048))
    for layout in [Layout.nt, .nn, .tn] {
      let a = Sample(layout == .tn ? [s.k, s.m] : [s.m, s.k], .bfloat16, "long left")
      let b = Sample(layout == .nt ? [s.n, s.k] : [s.k, s.n], .float32, "long right")
      let left = quantized(a.tensor(on: device), isLeft: true, layout, test.settings)
      let right = quantized(b.tensor(on: device), isLeft: false, layout, test.settings)
      let exact = product(a.values, b.values, layout, s)
      let found = matmul(left, right, layout).numbers.map(Double.init)
      #expect(dissimilarity(found, exact) < 1e-3, "\(layout)")
    }
  }

  /// Groups that are empty, shorter than a tile, and longer than two.
  private static let offsets = [0, 0, 5, 5, 6, 280, 280]
  private static let gathered: [Int32] = (0..<280).map { (i: Int) -> Int32 in Int32((i * 37 + i / 9) % 150) }

  @Test(arguments: Case.all, [Layout.nt, .nn])
  func groups(_ test: Case, _ layout: Layout) throws {
    let (device, n, k) = (try Device(threads: 3, level: test.level), 140, 136)
    let source = Sample([150, k], .bfloat16, "grouped codes").tensor(on: device)
    let index = Tensor([280], Self.gathered, on: device)
    let b = Sample(layout == .nt ? [6, n, k] : [6, k, n], .float32, "grouped weights").tensor(on: device)
    // In Fprop two matrices in each expert, as gate and up projections are: stacked along the rows.
    let weights = quantizeBlocks(b, period: b.shape[1] / (layout == .nt ? 2 : 1), test.settings)
    let rows = quantizeRows(gatherRows(source, index), test.settings)
    let (left, right) = (rows.dequantized(to: .float32).numbers, weights.dequantized(to: .float32).numbers)
    let expected = (0..<6).flatMap { e in
      let size = Size(m: Self.offsets[e + 1] - Self.offsets[e], n: n, k: k)
      return product(left, right, layout, size, aAt: Self.offsets[e] * k, bAt: e * n * k)
    }
    for route in test.routes {
      let y = groupedMatmul(
        rows, weights, layout, offsets: Self.offsets, output: .float32, route: route)
      #expect(error(y.numbers, expected) < 1e-6, "\(String(describing: route))")
      let inPlace = groupedMatmul(
        quantizeRows(source, test.settings), gathering: index, weights, layout, offsets: Self.offsets,
        output: .float32, route: route)
      #expect(inPlace.numbers == y.numbers, "gathered while packing")
    }
  }

  @Test(arguments: Case.all)
  func groupedWeightGradients(_ test: Case) throws {
    let (device, m, n) = (try Device(threads: 3, level: test.level), 39, 143)
    let x = Sample([280, m], .bfloat16, "Wgrad codes left").tensor(on: device)
    let z = Sample([280, n], .bfloat16, "Wgrad codes right").tensor(on: device)
    let (a, b) = (
      quantizeColumns(x, offsets: Self.offsets, test.settings),
      quantizeColumns(z, offsets: Self.offsets, test.settings)
    )
    let (left, right) = (a.dequantized(to: .float32).numbers, b.dequantized(to: .float32).numbers)
    let expected = (0..<6).flatMap { e in
      let (first, last) = (Self.offsets[e], Self.offsets[e + 1])
      return product(left, right, .tn, Size(m: m, n: n, k: last - first), aAt: first * m, bAt: first * n)
    }
    for route in test.routes {
      let y = Tensor([6, m, n], on: device)
      groupedWeightGradient(a, b, offsets: Self.offsets, route: route, into: (y, false))
      #expect(error(y.numbers, expected) < 1e-6, "\(String(describing: route))")
      groupedWeightGradient(a, b, offsets: Self.offsets, route: route, into: (y, true))
      #expect(error(y.numbers, expected.map { 2 * $0 }) < 1e-6, "added")
    }
  }

  /// Many threads, one thread: the same bits.
  @Test(arguments: Case.all)
  func threadsDoNotChangeTheBits(_ test: Case) throws {
    let results = try [1, 2, 5].map { threads in
      let device = try Device(threads: threads, level: test.level)
      let x = quantizeRows(Sample([300, 400], .bfloat16, "bits left").tensor(on: device), test.settings)
      let w = quantizeBlocks(
        Sample([260, 400], .float32, "bits right").tensor(on: device), period: 260, test.settings)
      return matmul(x, w, .nt).numbers
    }
    #expect(results[0] == results[1] && results[1] == results[2])
  }
}
