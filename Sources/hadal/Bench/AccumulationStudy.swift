internal import Numerics
internal import Tensors

/// A product of E4M3 codes with sums of several kinds, against the same one in Double.
///
/// Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2, which multiplies random matrices with K = 4096.
struct AccumulationStudy {
  /// What is multiplied.
  enum Values: String, Encodable, CaseIterable {
    /// N(0, 1): errors of terms have both signs.
    case normal
    /// 0 to 1: all errors have one sign.
    case uniform
  }

  /// Rows of either matrix.
  static let size = 128
  /// Terms that are summed before float32 takes over, where it does.
  static let interval = 128

  private let values: Values
  private let a, b: QuantizedTensor
  /// `[size, size]`
  private let exact: [Double]

  /// - Parameter k: the columns of both matrices.
  init(_ values: Values, k: Int, on device: Device) {
    let (a, b) = (values.matrix("left", k, on: device), values.matrix("right", k, on: device))
    (self.values, self.a) = (values, quantizeRows(a, Self.settings(a)))
    self.b = quantizeBlocks(b, period: Self.size, Self.settings(b))
    exact = Self.product(self.a.dequantized(to: .float32), self.b.dequantized(to: .float32))
  }

  /// One scale for all of a matrix, as sums without promotion need: that of its largest number. A power of two, so
  /// that decoded numbers are exact.
  private static func settings(_ x: Tensor) -> ScaleSettings {
    let amax = x.floats.reduce(0) { max($0, $1.magnitude) }
    return ScaleSettings(powerOfTwo: true, amaxFloor: amax)
  }

  private static func product(_ a: Tensor, _ b: Tensor) -> [Double] {
    let k = a.columns
    let rows = (0..<size).map { b.view(at: $0 * k, [k]) }
    return (0..<size).flatMap { i in
      let row = a.view(at: i * k, [k])
      return rows.map { $0.sum(weight: row) }
    }
  }

  func result(bits: Int) -> AccumulationResult {
    AccumulationResult(
      values: values, k: a.codes.columns,
      float32: error(matmul(a, b, .nt, output: .float32)),
      promoted: error(limitedMatmul(a, b, bits: bits, interval: Self.interval)),
      unpromoted: error(limitedMatmul(a, b, bits: bits, interval: nil)))
  }

  private func error(_ y: Tensor) -> AccumulationResult.Errors {
    AccumulationResult.Errors(found: y.floats.map(Double.init), exact: exact)
  }
}

extension AccumulationStudy.Values {
  /// Always the same numbers for a name and a size.
  fileprivate func matrix(_ name: String, _ k: Int, on device: Device) -> Tensor {
    let x = Tensor([AccumulationStudy.size, k], on: device)
    let (y, generator) = (x.floats, Philox(seed: 0, name: "accumulation \(rawValue) \(name)"))
    // The rows are a multiple of the four numbers of a block.
    device.workers.forEachRange(y.count / 4, grain: 1 << 12) { range in
      for block in range {
        let numbers = numbers(generator, UInt64(block))
        (y[4 * block], y[4 * block + 1]) = (numbers.0, numbers.1)
        (y[4 * block + 2], y[4 * block + 3]) = (numbers.2, numbers.3)
      }
    }
    return x
  }

  private func numbers(_ generator: Philox, _ block: UInt64) -> (Float, Float, Float, Float) {
    switch self {
    case .normal: return generator.normals(block)
    case .uniform:
      let bits = generator.block(block)
      let number = { (bits: UInt32) in Float(bits >> 8) * 0x1p-24 }
      return (number(bits.0), number(bits.1), number(bits.2), number(bits.3))
    }
  }
}

/// The errors of one product.
struct AccumulationResult: Encodable {
  struct Errors: Encodable {
    /// The largest error over the largest value: of small values, which have lost their terms to each other, the errors
    /// that are relative to themselves say little.
    let maximumRelative: Double
    /// `1 − 2⟨x, y⟩ / (⟨x, x⟩ + ⟨y, y⟩)`
    let dissimilarity: Double

    init(found: [Double], exact: [Double]) {
      var (difference, size) = (0.0, 0.0)
      var (largestError, largest) = (0.0, 0.0)
      for (x, y) in zip(found, exact) {
        // ⟨x, x⟩ − 2⟨x, y⟩ + ⟨y, y⟩, without its cancellation.
        difference += (x - y) * (x - y)
        size += x * x + y * y
        largestError = max(largestError, abs(x - y))
        largest = max(largest, abs(y))
      }
      (maximumRelative, dissimilarity) = (largestError / largest, difference / size)
    }
  }

  let values: AccumulationStudy.Values
  let k: Int
  /// Sums of training; short ones, promoted; short ones alone.
  let float32, promoted, unpromoted: Errors
}
