import Numerics
import Testing

/// What becomes of the blocks: uniform and normal numbers, and independent streams.
struct PhiloxSequenceTests {
  private let pinned = Philox(seed: 1234, name: "model.embed_tokens.weight")

  /// Values computed in Python, integers and float64; a change of them changes every run ever made.
  @Test func blocksArePinned() {
    #expect(pinned.block(0) == (0x8610_ecd5, 0x650a_b5ff, 0x2cd1_5751, 0x0c02_904d))
    #expect(pinned.block(1 << 32 | 5) == (0xee91_5507, 0xbc4b_4f23, 0xa4a2_6071, 0x3346_5ea4))
  }

  @Test func uniformNumbersArePinned() {
    #expect(pinned.uniform(0) == 0.5236957570059911)
    #expect(pinned.uniform(1) == 0.7116709897047909)
    #expect(pinned.uniform(1 << 40) == 0.6078682376958618)
  }

  /// Radius and angle have 24 bits: the angle is right to 2π · 2⁻²⁴ = 4e-7, times a radius below 6.
  @Test(
    arguments: [
      (0, [-0.8973865734713852, 0.6988463157622625, 1.7863354416288342, 0.5423582122207599]),
      (1, [-0.22527537415192403, 0.79342939844059, -0.3807386610621181, -0.13316981669225342]),
      (1 << 40, [0.41983610245535297, 0.9051695755573799, 1.3304897271500227, 0.8898339035023919]),
    ] as [(UInt64, [Double])])
  func normalNumbersArePinned(index: UInt64, expected: [Double]) {
    let found = pinned.normals(index)
    for (k, value) in [found.0, found.1, found.2, found.3].enumerated() {
      #expect(abs(Double(value) - expected[k]) <= 2.4e-6, "normal \(k) of \(index)")
    }
  }

  /// Mean 1/2 ± 4.5 σ with σ = √(1/12n); every eighth part holds n/8 ± 4.5 √(n · 7/64).
  @Test func uniformNumbersFillTheInterval() {
    let (philox, n) = (Philox(seed: 1, stream: 2), 20_000)
    var (sum, parts) = (0.0, [Int](repeating: 0, count: 8))
    for i in 0..<n {
      let u = philox.uniform(UInt64(i))
      guard u > 0, u < 1 else { return #expect(Bool(false), "uniform(\(i)) is \(u), not inside (0, 1)") }
      sum += u
      parts[Int(u * 8)] += 1
    }
    #expect(abs(sum / Double(n) - 0.5) <= 4.5 / (12 * Double(n)).squareRoot())
    let spread = 4.5 * (Double(n) * 7 / 64).squareRoot()
    #expect(parts.allSatisfy { abs(Double($0) - Double(n) / 8) <= spread }, "\(parts)")
  }

  /// Moments of N(0, 1): 0, 1, 0, 3; the k-th sample moment has variance (μ₂ₖ − μₖ²)/n; 4.5 σ are allowed.
  @Test func normalNumbersHaveTheMomentsOfANormal() {
    let (philox, n) = (Philox(seed: 99, name: "moments"), 100_000)
    var moments = [Double](repeating: 0, count: 4)
    var neighbors = 0.0
    for i in 0..<n / 4 {
      let block = philox.normals(UInt64(i))
      for x in [block.0, block.1, block.2, block.3].map(Double.init) {
        for (k, power) in [x, x * x, x * x * x, x * x * x * x].enumerated() {
          moments[k] += power / Double(n)
        }
      }
      neighbors += Double(block.0) * Double(block.1) + Double(block.1) * Double(block.2)
    }
    for (k, expected): (Int, (mean: Double, variance: Double)) in [(0, 1), (1, 2), (0, 15), (3, 96)]
      .enumerated()
    {
      let allowed = 4.5 * (expected.variance / Double(n)).squareRoot()
      #expect(abs(moments[k] - expected.mean) <= allowed, "moment \(k + 1) is \(moments[k])")
    }
    // n/2 products of independent numbers, each of variance 1.
    #expect(abs(neighbors) <= 4.5 * (Double(n) / 2).squareRoot(), "correlated: \(neighbors)")
  }

  @Test func streamsDifferByNameAndBySeed() {
    let streams = [
      Philox(seed: 1, name: "a"), Philox(seed: 1, name: "b"), Philox(seed: 2, name: "a"),
      Philox(seed: 1 << 32 | 1, name: "a"), Philox(seed: 1, name: ""),
    ]
    var seen = Set<UInt64>()
    for stream in streams {
      for index: UInt64 in 0..<100 {
        let block = stream.block(index)
        seen.insert(UInt64(block.0) << 32 | UInt64(block.1))
      }
    }
    #expect(seen.count == streams.count * 100)
  }

  /// The i-th number does not depend on which numbers were asked for before.
  @Test func numbersArePureFunctions() {
    let forward = (0..<50).map { pinned.uniform(UInt64($0)) }
    let backward = (0..<50).reversed().map { pinned.uniform(UInt64($0)) }
    #expect(forward == backward.reversed())
  }
}
