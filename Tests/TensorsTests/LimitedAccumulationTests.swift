import Numerics
import Tensors
import Testing

/// The emulated accumulator against scalar Double code that follows the model's words.
struct LimitedAccumulationTests {
  /// `Σ a b` where, after every 32 products, each term and then the sum is cut to `bits` binary digits.
  private static func sum(_ a: ArraySlice<Double>, _ b: ArraySlice<Double>, bits: Int) -> Double {
    let products = zip(a, b).map { $0 * $1 }
    var sum = 0.0
    for first in stride(from: 0, to: products.count, by: 32) {
      let terms = [sum] + products[first..<min(first + 32, products.count)]
      if terms.contains(where: \.isNaN) { return .nan }
      let largest = terms.map(\.magnitude).max() ?? 0
      sum = cut(terms.reduce(0) { $0 + cut($1, bits: bits, below: largest) }, bits: bits)
    }
    return sum
  }

  /// x without its digits after the `bits`-th, counted from the first of `largest` (of x itself).
  private static func cut(_ x: Double, bits: Int, below largest: Double? = nil) -> Double {
    if x == 0 { return 0 }
    let last = Double(sign: .plus, exponent: Int((largest ?? x).exponent) - bits + 1, significand: 1)
    return (x / last).rounded(.towardZero) * last
  }

  /// The product, with float32 sums of the runs that are promoted.
  private static func product(_ a: Operand, _ b: Operand, bits: Int, interval: Int?) -> [Float] {
    let k = a.columns
    return (0..<a.rows * b.rows).map { index in
      let (i, j) = (index / b.rows, index % b.rows)
      var sum: Float = 0
      for first in stride(from: 0, to: k, by: interval ?? k) {
        let run = first..<min(first + (interval ?? k), k)
        let partial = Self.sum(
          a.values[i * k + run.lowerBound..<i * k + run.upperBound],
          b.values[j * k + run.lowerBound..<j * k + run.upperBound], bits: bits)
        sum += Float(partial) * a.scale(i, first) * b.scale(j / 128, first)
      }
      return sum
    }
  }

  /// Codes as numbers, for the reference.
  private struct Operand {
    let codes: QuantizedTensor
    let values: [Double]
    private let scales: [Float]

    init(_ codes: QuantizedTensor) {
      self.codes = codes
      (values, scales) = withExtendedLifetime(codes) {
        (codes.codes.elements(Float8E4M3.self).map { Double(Float($0)) }, Array(codes.scales.floats))
      }
    }

    var rows: Int { codes.codes.rows }
    var columns: Int { codes.codes.columns }

    func scale(_ rowOfTiles: Int, _ p: Int) -> Float {
      scales[rowOfTiles * ((columns + 127) / 128) + p / 128]
    }
  }

  /// - Parameter hasOneScale: whether all tiles have the same, as sums without promotion need.
  private func operands(
    _ m: Int, _ n: Int, _ k: Int, hasOneScale: Bool = true, powerOfTwo: Bool = true, on device: Device
  ) -> (a: Operand, b: Operand) {
    let settings = ScaleSettings(powerOfTwo: powerOfTwo, amaxFloor: hasOneScale ? 8 : 1e-4)
    let a = Sample([m, k], .float32, "limited left").tensor(on: device)
    let b = Sample([n, k], .float32, "limited right").tensor(on: device)
    return (Operand(quantizeRows(a, settings)), Operand(quantizeBlocks(b, period: n, settings)))
  }

  /// `‖found − expected‖ / ‖expected‖`
  private func error(_ found: [Float], _ expected: [Double]) -> Double {
    let difference = zip(found, expected).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    return (difference / expected.reduce(0) { $0 + $1 * $1 }).squareRoot()
  }

  /// `Σ a b` of dequantized operands without any cut.
  private func exact(_ a: Operand, _ b: Operand) -> [Double] {
    let (x, y) = (a.codes.dequantized(to: .float32).numbers, b.codes.dequantized(to: .float32).numbers)
    let k = a.columns
    return (0..<a.rows * b.rows).map { index in
      let (i, j) = (index / b.rows * k, index % b.rows * k)
      return (0..<k).reduce(0) { $0 + Double(x[i + $1]) * Double(y[j + $1]) }
    }
  }

  @Test(arguments: Device.supportedLevels(), [2, 7, 14, 24])
  func bitsAreThoseOfTheModel(level: String, bits: Int) throws {
    let device = try Device(threads: 3, level: level)
    for (m, n, k) in [(1, 1, 1), (3, 130, 31), (5, 4, 130), (2, 5, 600)] {
      for interval in [nil, 32, 64, 128, 256] as [Int?] {
        // Scales that change need a promotion wherever they do.
        let (a, b) = operands(m, n, k, hasOneScale: (interval ?? 256) > 128, on: device)
        let y = limitedMatmul(a.codes, b.codes, bits: bits, interval: interval)
        #expect(y.shape == [m, n] && y.dtype == .float32)
        let expected = Self.product(a, b, bits: bits, interval: interval)
        let wrong = y.numbers.indices.first { y.numbers[$0] != expected[$0] }
        #expect(wrong == nil, "[\(m), \(k)] [\(n), \(k)], \(String(describing: interval)): \(wrong ?? 0)")
      }
      let (a, b) = operands(m, n, k, hasOneScale: false, powerOfTwo: false, on: device)
      let y = limitedMatmul(a.codes, b.codes, bits: bits, interval: 128)
      let expected = Self.product(a, b, bits: bits, interval: 128).map(Double.init)
      #expect(firstDifference(y, expected, roundings: 10) == nil, "float32 scales")
    }
  }

  /// By hand: 1 + 31 · 2⁻¹⁴ has 15 digits; an accumulator of 14 sees nothing of the small ones, with either sign.
  @Test(arguments: [1, -1] as [Float])
  func digitsBeyondTheLastAreCutOff(sign: Float) throws {
    let device = try Device(threads: 1)
    let codes = { (first: Float) in
      let numbers = [first] + [Float](repeating: first * 0x1p-7, count: 31)
      return Tensor([1, 32], numbers.map(Float8E4M3.init), on: device)
    }
    let one = Tensor([1, 1], [1] as [Float], on: device)
    let a = QuantizedTensor(codes: codes(sign), scales: one, tiling: .rows, hasPowerOfTwoScales: true)
    let b = QuantizedTensor(
      codes: codes(1), scales: one.reshaped([1, 1, 1]), tiling: .blocks, hasPowerOfTwoScales: true)
    #expect(limitedMatmul(a, b, bits: 14, interval: nil).numbers == [sign])
    #expect(limitedMatmul(a, b, bits: 15, interval: nil).numbers == [sign * (1 + 31 * 0x1p-14)])
  }

  /// Small integers, whose sums have fewer than 24 digits: nothing is cut. Numbers of all sizes: float32's precision.
  @Test func twentyFourBitsAreFloat32() throws {
    let device = try Device(threads: 2)
    let k = 1_000
    let integers = { (rows: Int, name: String) in
      randomNumbers(rows * k, name, scale: 3).map { Float8E4M3($0.rounded()) }
    }
    let (left, right) = (integers(4, "integers left"), integers(6, "integers right"))
    let ones = [Float](repeating: 1, count: 4 * 8)
    let a = QuantizedTensor(
      codes: Tensor([4, k], left, on: device), scales: Tensor([4, 8], ones, on: device), tiling: .rows,
      hasPowerOfTwoScales: true)
    let b = QuantizedTensor(
      codes: Tensor([6, k], right, on: device), scales: Tensor([1, 1, 8], Array(ones[..<8]), on: device),
      tiling: .blocks, hasPowerOfTwoScales: true)
    for interval in [nil, 128] as [Int?] {
      let y = limitedMatmul(a, b, bits: 24, interval: interval).numbers
      #expect(y.map(Double.init) == exact(Operand(a), Operand(b)))
    }
    let (c, d) = operands(6, 7, 2_048, on: device)
    #expect(error(limitedMatmul(c.codes, d.codes, bits: 24, interval: nil).numbers, exact(c, d)) < 1e-5)
  }

  @Test func fewerBitsCostPrecision() throws {
    let (a, b) = operands(20, 30, 1_024, on: try Device(threads: 2))
    let expected = exact(a, b)
    let errors = [20, 17, 14, 11, 8].map {
      error(limitedMatmul(a.codes, b.codes, bits: $0, interval: nil).numbers, expected)
    }
    // Three digits are a factor of 8.
    #expect(zip(errors, errors.dropFirst()).allSatisfy { 4 * $0 < $1 }, "\(errors)")
  }

  /// The paper's observation: errors grow with k, unless sums are promoted.
  @Test func promotionStopsTheGrowth() throws {
    let device = try Device(threads: 2)
    let errors = try [512, 4_096].map { k in
      let (a, b) = operands(20, 20, k, on: device)
      let expected = exact(a, b)
      return try [nil, 128].map { (interval: Int?) throws in
        error(limitedMatmul(a.codes, b.codes, bits: 14, interval: interval).numbers, expected)
      }
    }
    #expect(errors[1][0] > 2.5 * errors[0][0], "without promotion: \(errors)")
    #expect(errors[1][1] < 1.2 * errors[0][1] && errors[1][0] > 5 * errors[1][1], "with it: \(errors)")
  }

  @Test(arguments: [0, 35, 129], [nil, 128] as [Int?])
  func nanIsSeenWhereItBelongs(column: Int, interval: Int?) throws {
    let device = try Device(threads: 2)
    let x = Sample([3, 130], .float32, "NaN left").tensor(on: device)
    x.floats[130 + column] = .nan
    let w = Sample([4, 130], .float32, "NaN right").tensor(on: device)
    let settings = ScaleSettings(powerOfTwo: true, amaxFloor: 8)
    let y = limitedMatmul(
      quantizeRows(x, settings), quantizeBlocks(w, period: 4, settings), bits: 14, interval: interval
    ).numbers
    #expect(y.enumerated().allSatisfy { $0.element.isNaN == (4..<8 ~= $0.offset) }, "\(y)")
  }

  @Test func threadsDoNotChangeTheBits() throws {
    let results = try [1, 2, 5].map { threads in
      let (a, b) = operands(37, 140, 300, on: try Device(threads: threads))
      return limitedMatmul(a.codes, b.codes, bits: 14, interval: 128).numbers
    }
    #expect(results[0] == results[1] && results[1] == results[2])
  }
}
