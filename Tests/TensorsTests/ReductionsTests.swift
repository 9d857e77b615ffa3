import Tensors
import Testing

/// Whole-array kernels.
struct ReductionsTests {
  /// Below and above the 2¹⁶ elements that are summed at once. Sums are float64: n roundings of 2⁻⁵³ at most.
  @Test(arguments: Device.supportedLevels(), [0, 1, 17, 1000, 1 << 16 + 3])
  func squares(level: String, count: Int) throws {
    let device = try Device(threads: 2, level: level)
    let x = randomNumbers(count, "sum of squares", scale: 1e18)
    let expected = x.reduce(0.0) { $0 + Double($1) * Double($1) }
    let tensor = Tensor([count], x, on: device)
    #expect(abs(sumOfSquares([tensor]) - expected) <= expected * Double(count) * 0x1p-53)
    let three = Tensor([1], [3] as [Float], on: device)
    let found = sumOfSquares([three, tensor, three])
    #expect(abs(found - expected - 18) <= (expected + 18) * Double(count + 2) * 0x1p-53)
    #expect(sumOfSquares([]) == 0)
  }

  @Test(arguments: Device.supportedLevels(), [0, 1, 1003])
  func weightedSum(level: String, count: Int) throws {
    let device = try Device(threads: 2, level: level)
    let (x, w) = (Sample([count], .float32, "weighed"), Sample([count], .float32, "weights"))
    let plain = x.doubles.reduce(0, +)
    let weighed = (0..<count).reduce(0.0) { $0 + x[$1] * w[$1] }
    let tensor = x.tensor(on: device)
    #expect(abs(tensor.sum() - plain) <= 1e-11)
    #expect(abs(tensor.sum(weight: w.tensor(on: device)) - weighed) <= 1e-11)
  }

  @Test(arguments: Device.supportedLevels())
  func squaresKeepNaN(level: String) throws {
    let device = try Device(threads: 2, level: level)
    var x = randomNumbers(100, "NaN")
    x[77] = .nan
    #expect(sumOfSquares([Tensor([100], x, on: device)]).isNaN)
  }

  /// Every position in three blocks of 1024, the last one short, and each kind of value.
  @Test(arguments: Device.supportedLevels())
  func firstNonFiniteAtEveryPosition(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let count = 2500
    var values = randomNumbers(count, "finite")
    values[0] = .greatestFiniteMagnitude
    values[1] = -.leastNonzeroMagnitude
    values[2] = -0.0
    let x = Tensor([count], values, on: device)
    #expect(x.firstNonFinite() == nil)
    for i in 0..<count {
      for bad in [Float.nan, .infinity, -.infinity, .signalingNaN] {
        x.floats[i] = bad
        // A later one must not be reported first.
        x.floats[count - 1] = .nan
        guard x.firstNonFinite() == i else {
          return #expect(x.firstNonFinite() == i, "\(bad)")
        }
        x.floats[count - 1] = values[count - 1]
      }
      x.floats[i] = values[i]
    }
    #expect(Tensor([0], on: device).firstNonFinite() == nil)
  }

  @Test(arguments: Device.supportedLevels())
  func scaling(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let x = Sample([1003], .float32, "scaling")
    let tensor = x.tensor(on: device)
    tensor.scale(by: 0.3)
    #expect(tensor.numbers == x.values.map { $0 * 0.3 })
  }

  /// Of equal values the first; negative rows too; rows shorter and longer than a vector.
  @Test(arguments: Device.supportedLevels(), [1, 5, 16, 67])
  func largestColumn(level: String, width: Int) throws {
    let (device, rows) = (try Device(threads: 2, level: level), 40)
    var values = randomNumbers(rows * width, "largest columns").map { $0 - 10 }
    for r in 0..<rows {
      let peak = r * 7 % width
      for c in [peak, (peak + 3) % width] { values[r * width + c] = -1 }
    }
    let expected = (0..<rows).map { r in Int32(min(r * 7 % width, (r * 7 % width + 3) % width)) }
    #expect(largestColumns(Tensor([rows, width], values, on: device)) == expected)
  }
}
