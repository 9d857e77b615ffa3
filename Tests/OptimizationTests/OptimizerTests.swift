import Numerics
import Optimization
import Tensors
import Testing

/// One step of the optimizer in closed form: a matrix and a norm gain, two elements each.
struct OptimizerTests {
  private let device: Device
  init() throws { device = try Device(threads: 1) }

  /// ε = 1 so that the size of a gradient shows in the step, which AdamW otherwise makes ±1.
  private var settings: AdamWSettings {
    var settings = AdamWSettings()
    (settings.epsilon, settings.weightDecay) = (1, 0.25)
    return settings
  }

  private func slot(
    _ name: String, _ shape: [Int], _ weights: [Float], gradient: [Float], compute: DType = .float32
  ) -> OptimizerSlot {
    let master = Tensor(shape, weights, on: device)
    return OptimizerSlot(
      parts: [(name: name, offset: 0, shape: shape)], master: master,
      gradient: accumulator(shape, gradient),
      compute: compute == .float32 ? master : Tensor(shape, compute, on: device))
  }

  private func accumulator(_ shape: [Int], _ values: [Float]) -> Accumulator {
    let accumulator = Accumulator(shape, on: device)
    accumulator.add(Tensor(shape, values, on: device))
    return accumulator
  }

  private func slots(scale: Float) -> [OptimizerSlot] {
    [
      slot("matrix", [1, 2], [2, -1], gradient: [3 * scale, 0]),
      slot("gain", [2], [1, 1], gradient: [0, -4 * scale]),
    ]
  }

  /// θ − lr·wd·θ − lr·g/(|g| + 1), where g is the clipped gradient of a first step.
  private func stepped(_ weight: Double, _ gradient: Double, decay: Double) -> Double {
    weight - 0.5 * decay * weight - 0.5 * gradient / (gradient.magnitude + 1)
  }

  /// Norm 5 is clipped to 1; norm 0.5 is left alone.
  @Test(arguments: [(Float(1), 0.2), (Float(0.1), 1.0)])
  func clipsTheNormOfAllGradients(scale: Float, clip: Double) {
    let slots = slots(scale: scale)
    let optimizer = Optimizer(slots, settings, moments: .float32)
    let norm = optimizer.gradientSquares().squareRoot()
    #expect(abs(norm - 5 * Double(scale)) < 1e-6)
    #expect(abs(optimizer.clipCoefficient(norm: norm) - clip) < 1e-6)
    optimizer.update(learningRate: 0.5, norm: norm, step: 1)
    let (a, b) = (3 * Double(scale) * clip, -4 * Double(scale) * clip)
    // The matrix decays, also where it has no gradient; the gain does not.
    let matrix = [stepped(2, a, decay: 0.25), -1 + 0.5 * 0.25]
    let gain = [1, stepped(1, b, decay: 0)]
    for (slot, expected) in zip(slots, [matrix, gain]) {
      for (found, expected) in zip(slot.master.floats, expected) {
        #expect(abs(Double(found) - expected) < 1e-6, "\(found) is not \(expected)")
      }
    }
    let moments = optimizer.moments.map { Array($0.tensor.floats) }
    let expected = [[0.1 * a, 0], [0.05 * a * a, 0], [0, 0.1 * b], [0, 0.05 * b * b]]
    for (found, expected) in zip(moments.joined(), expected.joined()) {
      #expect(abs(Double(found) - expected) < 1e-6 * max(expected.magnitude, 1e-3))
    }
  }

  /// torch's clip_grad_norm_: norm / (norm + 1e-6), never more than 1.
  @Test func coefficients() {
    var settings = settings
    settings.clipNorm = 2
    let optimizer = Optimizer([], settings, moments: .float32)
    #expect(optimizer.clipCoefficient(norm: 0) == 1)
    #expect(optimizer.clipCoefficient(norm: 1.9) == 1)
    #expect(optimizer.clipCoefficient(norm: 2) == 2 / (2 + 1e-6))
    #expect(optimizer.clipCoefficient(norm: 8) == 2 / (8 + 1e-6))
    #expect(optimizer.gradientSquares().squareRoot() == 0)
  }

  /// A parameter that received nothing in a step, after one in which it did, only decays, and its moments fade.
  @Test func parametersWithoutGradient() {
    let slots = slots(scale: 1)
    let optimizer = Optimizer(slots, settings, moments: .float32)
    optimizer.update(learningRate: 0, norm: 5, step: 1)
    let moments = optimizer.moments.map { Array($0.tensor.floats) }
    optimizer.clearGradients()
    slots[1].gradient.add(Tensor([2], [0, 2] as [Float], on: device))
    let norm = optimizer.gradientSquares().squareRoot()
    #expect(norm == 2)
    optimizer.update(learningRate: 0, norm: 0, step: 2)
    let faded = optimizer.moments.map { Array($0.tensor.floats) }
    #expect(faded[0][0] == 0.9 * moments[0][0] && faded[1][0] == 0.95 * moments[1][0])
    #expect(faded[2][1] != 0.9 * moments[2][1])
  }

  /// What lies between two steps is stored in the moments' type; what is computed with, in the weights' own.
  @Test(arguments: [DType.float32, .bfloat16])
  func momentsAreStoredInTheirType(_ type: DType) {
    let slot = slot("w", [1, 1], [0.5], gradient: [0.3], compute: .bfloat16)
    let optimizer = Optimizer([slot], settings, moments: type)
    #expect(optimizer.moments.map(\.name) == ["optimizer.exp_avg.w", "optimizer.exp_avg_sq.w"])
    #expect(optimizer.moments.allSatisfy { $0.tensor.dtype == type && $0.shape == [1, 1] })
    // Half a unit in the last place of the type, and the rounding of a few operations.
    let roundings = type == .float32 ? 1e-6 : 1.0 / 256 + 1e-6
    var (m, v, weight) = (0.0, 0.0, 0.5)
    for (index, gradient) in [Float(0.3), -0.1].enumerated() {
      slot.gradient.sums.floats[0] = gradient
      optimizer.update(learningRate: 0.1, norm: 0.3, step: index + 1)
      (m, v) = (0.9 * m + 0.1 * Double(gradient), 0.95 * v + 0.05 * Double(gradient) * Double(gradient))
      let (mHat, vHat) = index == 0 ? (m / 0.1, v / 0.05) : (m / 0.19, v / 0.0975)
      weight -= 0.1 * 0.25 * weight + 0.1 * mHat / (vHat.squareRoot() + 1)
      #expect(abs(Double(slot.master.floats[0]) - weight) < 0.1 * roundings)
      #expect(slot.compute.elements(BFloat16.self)[0] == BFloat16(slot.master.floats[0]))
      for (found, expected) in zip(optimizer.moments, [m, v]) {
        let float = found.tensor.converted(to: .float32)
        let stored = withExtendedLifetime(float) { Double(float.floats[0]) }
        #expect(abs(stored - expected) <= 2 * roundings * expected.magnitude, "step \(index + 1)")
        if type == .bfloat16 {
          #expect(found.tensor.elements(BFloat16.self)[0] == BFloat16(Float(stored)))
        }
      }
    }
  }

  /// A parameter of several tensors, between a bad gradient before it and a finite one after it. Backward goes from the
  /// last parameter to the first, so the last bad one is where it began.
  private func fused(_ index: Int, _ value: Float) -> Optimizer {
    var gradient = [Float](repeating: 1, count: 14)
    gradient[index] = value
    let parts = [
      (name: "gate_proj", offset: 0, shape: [2, 3]), (name: "up_proj", offset: 6, shape: [2, 3]),
      (name: "other", offset: 12, shape: [2, 1]),
    ]
    let master = Tensor.zeros([14], on: device)
    let slot = OptimizerSlot(
      parts: parts, master: master, gradient: accumulator([14], gradient), compute: master)
    return Optimizer([slots(scale: .nan)[1], slot, slots(scale: 1)[0]], settings, moments: .float32)
  }

  @Test(arguments: [
    (0, "gate_proj"), (5, "gate_proj"), (6, "up_proj"), (11, "up_proj"), (12, "other"), (13, "other"),
  ])
  func theTensorOfABadGradientIsNamed(index: Int, name: String) {
    for value in [Float.nan, .infinity, -.infinity] {
      let optimizer = fused(index, value)
      #expect(optimizer.firstNonFiniteGradient() == name)
      #expect(!optimizer.gradientSquares().squareRoot().isFinite)
    }
  }

  @Test func finiteGradientsHaveNoName() {
    #expect(fused(0, 1).firstNonFiniteGradient() == "gain")
    #expect(Optimizer(slots(scale: 1), settings, moments: .float32).firstNonFiniteGradient() == nil)
  }

  @Test func clearingTakesGradientsOnly() {
    let slots = slots(scale: 1)
    let optimizer = Optimizer(slots, settings, moments: .float32)
    optimizer.update(learningRate: 0, norm: 5, step: 1)
    slots[0].gradient.sums.floats[1] = .nan
    let moments = optimizer.moments.map { Array($0.tensor.floats) }
    #expect(moments[0][0] != 0)
    optimizer.clearGradients()
    #expect(slots.allSatisfy { $0.gradient.isEmpty })
    #expect(optimizer.gradientSquares().squareRoot() == 0)
    #expect(slots.allSatisfy { $0.gradient.sums.floats.allSatisfy { $0 == 0 } })
    #expect(optimizer.moments.map { Array($0.tensor.floats) } == moments)
  }
}
