import Numerics
import Tensors
import Testing

/// Numbers of mean 0 and variance 1 (sums of three uniform ones) times `scale`, always the same for a name.
/// The generator is Knuth's linear congruence: tests make a million of them in debug builds.
func randomNumbers(_ count: Int, _ name: String, scale: Float = 1) -> [Float] {
  var state = name.utf8.reduce(UInt64(14)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
    for i in 0..<count {
      var sum: Float = -3
      for _ in 0..<3 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        sum += Float(state >> 40) / 8_388_608
      }
      buffer[i] = sum * scale
    }
    initialized = count
  }
}

/// An input: numbers that its storage type holds exactly, so that kernel and reference start from the same
/// ones.
struct Sample {
  let shape: [Int]
  let dtype: DType
  let values: [Float]

  init(_ shape: [Int], _ dtype: DType, _ name: String, scale: Float = 1) {
    let numbers = randomNumbers(shape.reduce(1, *), name, scale: scale)
    self.init(shape, dtype, numbers)
  }

  init(_ shape: [Int], _ dtype: DType, _ numbers: [Float]) {
    (self.shape, self.dtype) = (shape, dtype)
    values = dtype == .bfloat16 ? numbers.map { Float(BFloat16($0)) } : numbers
  }

  subscript(index: Int) -> Double { Double(values[index]) }
  var doubles: [Double] { values.map(Double.init) }

  func tensor(on device: Device) -> Tensor { Tensor(shape, values, on: device).converted(to: dtype) }
}

extension Tensor {
  /// The elements as float32 numbers.
  var numbers: [Float] {
    let converted = converted(to: .float32)
    return withExtendedLifetime(converted) { Array(converted.floats) }
  }
}

/// Where a kernel's result first differs from the Double reference, with both values (a NaN always differs);
/// nil when nowhere.
///
/// Allowed are `roundings` float32 roundings as a random walk: 8 √n half units (2⁻²⁴) of the largest value (λ
/// = 8 in Higham and Mary's probabilistic bound), and for bfloat16 half a unit (2⁻⁸) of the value itself, for
/// its storage.
func firstDifference(_ found: Tensor, _ expected: [Double], roundings: Int) -> String? {
  let numbers = found.numbers
  guard numbers.count == expected.count else { return "\(numbers.count) values, not \(expected.count)" }
  let float = 8 * Double(roundings).squareRoot() * 0x1p-24 * (expected.map(abs).max() ?? 0)
  let storage = found.dtype == .bfloat16 ? 0x1.02p-8 : 0
  for (i, value) in expected.enumerated()
  where !(abs(Double(numbers[i]) - value) <= float + storage * abs(value)) {
    return "[\(i)] is \(numbers[i]), not \(value) ± \(float + storage * abs(value))"
  }
  return nil
}

/// An instruction-set level and a storage type.
struct Kernel: CustomTestStringConvertible {
  let level: String
  let dtype: DType
  var testDescription: String { "\(level), \(dtype)" }

  /// Every level of this processor with both types.
  static var all: [Kernel] {
    Device.supportedLevels().flatMap { level in
      [DType.float32, .bfloat16].map { Kernel(level: level, dtype: $0) }
    }
  }

  func device(threads: Int = 2) throws -> Device { try Device(threads: threads, level: level) }
}
