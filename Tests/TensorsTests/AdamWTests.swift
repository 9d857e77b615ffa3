import Foundation
import Numerics
import Tensors
import Testing

/// AdamW, step by step, against Double: each step starts from what the one before stored.
struct AdamWTests {
  private static let (learningRate, beta1, beta2, epsilon, decay): (Float, Float, Float, Float, Float) =
    (0.01, 0.9, 0.95, 1e-8, 0.1)
  private static let gradientScale: Float = 0.37

  private func step(_ number: Int) -> AdamWStep {
    AdamWStep(
      learningRate: Self.learningRate, beta1: Self.beta1, beta2: Self.beta2, epsilon: Self.epsilon,
      weightDecay: Self.decay, gradientScale: Self.gradientScale, step: number)
  }

  private struct State {
    var p, m, v: [Double]

    /// Loshchilov and Hutter, algorithm 2, in the order of torch.optim.AdamW.
    func next(_ gradient: [Float], step: Int) -> State {
      let (b1, b2, rate) = (Double(beta1), Double(beta2), Double(learningRate))
      var next = self
      for i in p.indices {
        let g = Double(gradient[i]) * Double(gradientScale)
        next.m[i] = b1 * m[i] + (1 - b1) * g
        next.v[i] = b2 * v[i] + (1 - b2) * g * g
        let (mHat, vHat) = (next.m[i] / (1 - pow(b1, Double(step))), next.v[i] / (1 - pow(b2, Double(step))))
        next.p[i] = p[i] - rate * Double(decay) * p[i] - rate * mHat / (vHat.squareRoot() + Double(epsilon))
      }
      return next
    }
  }

  /// The moments' type is the kernel's; the weights are copied to bfloat16 in any case.
  @Test(arguments: Kernel.all)
  func severalSteps(_ kernel: Kernel) throws {
    let (count, device) = (531, try kernel.device())
    // Weights small beside the steps, so that an error of a step shows.
    let master = Sample([count], .float32, "adamw weights", scale: 0.02).tensor(on: device)
    let (m, v) = (
      Tensor.zeros([count], kernel.dtype, on: device), Tensor.zeros([count], kernel.dtype, on: device)
    )
    let compute = Tensor([count], .bfloat16, on: device)
    for number in 1...6 {
      let before = State(
        p: master.numbers.map(Double.init), m: m.numbers.map(Double.init), v: v.numbers.map(Double.init))
      var gradient = randomNumbers(count, "adamw gradient \(number)")
      gradient[0] = 0
      let expected = before.next(gradient, step: number)
      let arrays = AdamWArrays(
        master: master, gradient: Tensor([count], gradient, on: device), m: m, v: v, compute: compute,
        decays: true)
      adamW([arrays], step(number))
      #expect(firstDifference(master, expected.p, roundings: 8) == nil, "weights, step \(number)")
      #expect(firstDifference(m, expected.m, roundings: 3) == nil, "m, step \(number)")
      #expect(firstDifference(v, expected.v, roundings: 4) == nil, "v, step \(number)")
      #expect(compute.numbers == master.numbers.map { Float(BFloat16($0)) }, "compute copy, step \(number)")
    }
  }

  /// A weight without gradient only decays: p (1 − lr · wd), with 0 / (0 + ε) = 0 for the step.
  @Test(arguments: Kernel.all)
  func zeroGradientsOnlyDecay(_ kernel: Kernel) throws {
    let (count, device) = (67, try kernel.device())
    let weights = Sample([count], .float32, "adamw decay")
    let master = weights.tensor(on: device)
    let (m, v) = (
      Tensor.zeros([count], kernel.dtype, on: device), Tensor.zeros([count], kernel.dtype, on: device)
    )
    let gradient = Tensor.zeros([count], on: device)
    adamW(
      [AdamWArrays(master: master, gradient: gradient, m: m, v: v, compute: master, decays: true)], step(1))
    let kept = 1 - Double(Self.learningRate) * Double(Self.decay)
    #expect(firstDifference(master, weights.doubles.map { $0 * kept }, roundings: 2) == nil)
    #expect(m.numbers.allSatisfy { $0 == 0 } && v.numbers.allSatisfy { $0 == 0 })
  }

  /// Late steps: 1 − βᵗ has become 1, whatever the size of t.
  @Test func lateSteps() throws {
    let device = try Device(threads: 1)
    let master = Tensor([1], [0] as [Float], on: device)
    let (m, v) = (Tensor([1], [1] as [Float], on: device), Tensor([1], [4] as [Float], on: device))
    let gradient = Tensor([1], [0] as [Float], on: device)
    adamW(
      [AdamWArrays(master: master, gradient: gradient, m: m, v: v, compute: master, decays: true)],
      step(1_000_000))
    // −lr · β1 / √(4 β2)
    let expected = -0.01 * 0.9 / (4 * 0.95).squareRoot()
    #expect(firstDifference(master, [expected], roundings: 8) == nil)
  }

  /// Many parameters in one loop: none, one and several pieces of 2¹⁶ elements; each as if it were alone.
  @Test(arguments: Kernel.all)
  func manyParametersAtOnce(_ kernel: Kernel) throws {
    let device = try kernel.device()
    func parameters() -> [AdamWArrays] {
      [1, 0, 1 << 16, 37, 1 << 17 + 5].enumerated().map { i, count in
        let master = Sample([count], .float32, "many weights \(i)").tensor(on: device)
        return AdamWArrays(
          master: master, gradient: Sample([count], .float32, "many gradients \(i)").tensor(on: device),
          m: .zeros([count], kernel.dtype, on: device), v: .zeros([count], kernel.dtype, on: device),
          compute: i == 3 ? master : Tensor([count], .bfloat16, on: device), decays: i % 2 == 0)
      }
    }
    let (together, alone) = (parameters(), parameters())
    adamW(together, step(1))
    for one in alone { adamW([one], step(1)) }
    for (i, (found, expected)) in zip(together, alone).enumerated() {
      #expect(found.master.numbers == expected.master.numbers, "\(i)")
      #expect(found.m.numbers == expected.m.numbers && found.v.numbers == expected.v.numbers, "\(i)")
      #expect(found.compute.numbers == expected.compute.numbers, "\(i)")
    }
    // From zero moments the first step is lr · sign(g), beside the decay.
    let (last, first) = (together[3], Sample([37], .float32, "many weights 3"))
    let gradient = last.gradient.numbers
    let expected = (0..<37).map { i -> Double in
      let g = Double(gradient[i]) * Double(Self.gradientScale)
      return first[i] - Double(Self.learningRate) * g / (g.magnitude + Double(Self.epsilon))
    }
    #expect(firstDifference(last.master, expected, roundings: 16) == nil, "a gain does not decay")
  }
}
