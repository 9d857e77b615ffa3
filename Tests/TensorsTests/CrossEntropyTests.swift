import Foundation
import Tensors
import Testing

/// The fused head on every level, against Double.
struct CrossEntropyTests {
  private static let (rows, width, vocabulary) = (37, 13, 101)
  private let labels = (0..<rows).map { $0 % 7 == 3 ? Int32(-1) : Int32($0 * 29 % vocabulary) }
  private let scale = Sample([rows], .float32, randomNumbers(rows, "scale").map { abs($0) + 0.1 })

  private struct Expected {
    var losses, dh, dWeight: [Double]
  }

  private func expected(_ h: Sample, _ weight: Sample) -> Expected {
    let (rows, width, vocabulary) = (Self.rows, Self.width, Self.vocabulary)
    var result = Expected(
      losses: Array(repeating: 0, count: rows), dh: Array(repeating: 0, count: rows * width),
      dWeight: Array(repeating: 0, count: vocabulary * width))
    let (x, w) = (h.doubles, weight.doubles)
    for t in 0..<rows where labels[t] >= 0 {
      let logits = (0..<vocabulary).map { v in
        (0..<width).reduce(0) { $0 + x[t * width + $1] * w[v * width + $1] }
      }
      let top = logits.max() ?? 0
      let denominator = logits.reduce(0) { $0 + exp($1 - top) }
      result.losses[t] = top + log(denominator) - logits[Int(labels[t])]
      for v in 0..<vocabulary {
        let d = scale[t] * (exp(logits[v] - top) / denominator - (v == Int(labels[t]) ? 1 : 0))
        for i in 0..<width {
          result.dh[t * width + i] += d * w[v * width + i]
          result.dWeight[v * width + i] += d * x[t * width + i]
        }
      }
    }
    return result
  }

  @Test(arguments: Kernel.all)
  func lossesAndGradients(_ kernel: Kernel) throws {
    let device = try kernel.device()
    let h = Sample([Self.rows, Self.width], kernel.dtype, "head h")
    let weight = Sample([Self.vocabulary, Self.width], kernel.dtype, "head weight")
    let expected = expected(h, weight)
    let dWeight = Tensor.zeros([Self.vocabulary, Self.width], on: device)
    let found = crossEntropyHead(
      h.tensor(on: device), weight.tensor(on: device), labels: Tensor([Self.rows], labels, on: device),
      scale: scale.tensor(on: device), gradients: (dWeight, true))
    let float = Self.vocabulary + Self.width + 8
    #expect(firstDifference(found.losses, expected.losses, roundings: float) == nil, "losses")
    // The gradient of the logits is rounded as an activation is: in bfloat16 by 2⁻⁸ = 8 √n 2⁻²⁴ with n = 2²⁶.
    let roundings = kernel.dtype == .bfloat16 ? 1 << 26 : float
    let dh = try #require(found.inputGradient)
    #expect(firstDifference(dh, expected.dh, roundings: roundings) == nil, "dh")
    #expect(firstDifference(dWeight, expected.dWeight, roundings: roundings + Self.rows) == nil, "dW")
  }

  /// Logits of a thousand: exp would overflow without the shift. The loss is a plain difference of logits.
  @Test(arguments: Device.supportedLevels())
  func largeLogits(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let h = Tensor([2, 1], [1000, -1000] as [Float], on: device)
    let weight = Tensor([3, 1], [1, 0.5, -1] as [Float], on: device)
    let dWeight = Tensor.zeros([3, 1], on: device)
    let found = crossEntropyHead(
      h, weight, labels: Tensor([2], [1, 2] as [Int32], on: device),
      scale: Tensor([2], [1, 1] as [Float], on: device), gradients: (dWeight, false))
    #expect(found.losses.numbers == [500, 0])
    // Row 0: softmax is (1, 0, 0), so dh = 1 − 0.5; row 1 is right already.
    let dh = try #require(found.inputGradient).numbers
    #expect(abs(dh[0] - 0.5) < 1e-6 && abs(dh[1]) < 1e-6, "\(dh)")
  }

  @Test(arguments: Device.supportedLevels())
  func notANumberIsNotHidden(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let weight = Sample([21, 2], .float32, "weight").tensor(on: device)
    let h = Tensor([2, 2], [1, 2, 1, .nan] as [Float], on: device)
    let found = crossEntropyHead(
      h, weight, labels: Tensor([2], [3, 4] as [Int32], on: device),
      scale: Tensor([2], [1, 1] as [Float], on: device), gradients: nil)
    #expect(found.losses.numbers[0].isFinite)
    #expect(found.losses.numbers[1].isNaN)
    #expect(found.inputGradient == nil)
  }
}
