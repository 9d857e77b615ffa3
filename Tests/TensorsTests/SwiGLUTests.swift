import Foundation
import Tensors
import Testing

/// SwiGLU against Double, and through it the accuracy of the kernels' exponential.
struct SwiGLUTests {
  private static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  @Test(arguments: Kernel.all, [1, 37])
  func forwardAndGradients(_ kernel: Kernel, inner: Int) throws {
    let (rows, device) = (19, try kernel.device())
    let h = Sample([rows, 2 * inner], kernel.dtype, "swiglu h", scale: 2)
    let da = Sample([rows, inner], kernel.dtype, "swiglu da")
    let weight = Sample([rows], .float32, "swiglu weight")
    var (plain, a, dweight) = ([Double](), [Double](), [Double](repeating: 0, count: rows))
    var dh = [Double](repeating: 0, count: rows * 2 * inner)
    for r in 0..<rows {
      for i in 0..<inner {
        let (g, u) = (r * 2 * inner + i, r * 2 * inner + inner + i)
        let s = Self.sigmoid(h[g])
        plain.append(h[g] * s * h[u])
        a.append(weight[r] * h[g] * s * h[u])
        dh[g] = weight[r] * da[r * inner + i] * h[u] * s * (1 + h[g] * (1 - s))
        dh[u] = weight[r] * da[r * inner + i] * h[g] * s
        dweight[r] += da[r * inner + i] * h[g] * s * h[u]
      }
    }
    let (hT, daT, weightT) = (h.tensor(on: device), da.tensor(on: device), weight.tensor(on: device))
    #expect(firstDifference(swiglu(hT), plain, roundings: 8) == nil, "without a weight")
    #expect(firstDifference(swiglu(hT, weight: weightT), a, roundings: 9) == nil, "a")
    let found = swigluGradient(daT, hT, weight: weightT)
    #expect(firstDifference(found.dh, dh, roundings: 12) == nil, "dh")
    let (foundDweight, foundA) = (try #require(found.dweight), try #require(found.a))
    #expect(firstDifference(foundDweight, dweight, roundings: inner + 8) == nil, "dweight")
    #expect(firstDifference(foundA, a, roundings: 9) == nil, "a, computed anew")
    let without = swigluGradient(daT, hT)
    #expect(without.a == nil && without.dweight == nil)
  }

  /// silu on [-87, 88]: its relative error is that of exp (2e-7 as its comment says) and four roundings (2⁻²⁴
  /// each).
  @Test(arguments: Device.supportedLevels())
  func exponentialIsAccurateOverItsRange(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let points = 40_001
    let gates = (0..<points).map { -87 + 175 * Float($0) / Float(points - 1) }
    let h = gates.flatMap { [$0, 1] as [Float] }
    let found = swiglu(Tensor([points, 2], h, on: device)).numbers
    for (i, gate) in gates.enumerated() {
      let expected = Double(gate) * Self.sigmoid(Double(gate))
      let isRight = abs(Double(found[i]) - expected) <= (2e-7 + 4 * 0x1p-24) * abs(expected)
      guard isRight else { return #expect(isRight, "silu(\(gate)) is \(found[i]), not \(expected)") }
    }
  }

  /// Far outside: 0 and x, not NaN; NaN stays NaN.
  @Test(arguments: Kernel.all)
  func extremes(_ kernel: Kernel) throws {
    let device = try kernel.device()
    let gates: [Float] = [-1e30, -1000, -89, 0, 89, 1000, 1e30, .infinity, .nan]
    let h = gates.flatMap { [$0, 1] as [Float] }
    let found = swiglu(Sample([9, 2], kernel.dtype, h).tensor(on: device)).numbers
    // The clamp makes silu(-1e30) = -1e30 · 6e-39.
    #expect(found[0..<3].allSatisfy { abs($0) <= 1e-8 }, "\(found)")
    #expect(found[3] == 0)
    #expect(zip(found[4..<7], gates[4..<7]).allSatisfy { abs($0 - $1) <= $1 * 0x1p-8 }, "\(found)")
    #expect(found[7] == .infinity)
    #expect(found[8].isNaN)
  }
}
