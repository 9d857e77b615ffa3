package import Tensors

/// What an optimizer updates: one parameter's arrays.
package struct OptimizerSlot {
  /// Checkpoint name, offset and shape of each tensor that the arrays hold.
  package typealias Part = (name: String, offset: Int, shape: [Int])
  package let parts: [Part]
  /// float32.
  package let master: Tensor
  /// Of the master's shape.
  package let gradient: Accumulator
  /// The copy of the master that is rounded while it is updated; the master itself where there is none.
  package let compute: Tensor

  package init(parts: [Part], master: Tensor, gradient: Accumulator, compute: Tensor) {
    (self.parts, self.master, self.gradient, self.compute) = (parts, master, gradient, compute)
  }

  /// Matrices decay, norm gains do not.
  fileprivate var decays: Bool { master.shape.count >= 2 }
}

/// AdamW's settings. Source of the defaults: DeepSeek-V3, arXiv:2412.19437, §4.2 (epsilon is torch's).
package struct AdamWSettings: Sendable, Hashable {
  package var beta1: Float = 0.9
  package var beta2: Float = 0.95
  package var epsilon: Float = 1e-8
  package var weightDecay: Float = 0.1
  /// The norm that all gradients together are clipped to.
  package var clipNorm: Float = 1

  package init() {}
}

/// AdamW with float32 master weights and moments in float32 or bfloat16, decay on matrices only, and a clip of the
/// global gradient norm.
package final class Optimizer {
  private let slots: [(slot: OptimizerSlot, m: Tensor, v: Tensor)]
  private let settings: AdamWSettings

  package init(_ slots: [OptimizerSlot], _ settings: AdamWSettings, moments: DType) {
    self.settings = settings
    self.slots = slots.map { slot in
      let zeros = { Tensor.zeros(slot.master.shape, moments, on: slot.master.device) }
      return (slot, zeros(), zeros())
    }
  }

  /// The L2 norm of all gradients together; NaN or infinite when any of them is.
  package func gradientNorm() -> Double {
    sumOfSquares(slots.map(\.slot.gradient.sums)).squareRoot()
  }

  /// What the gradients are multiplied by when they are clipped: torch's clip_grad_norm_ adds 1e-6 to the norm.
  package func clipCoefficient(norm: Double) -> Double { min(1, Double(settings.clipNorm) / (norm + 1e-6)) }

  /// The name of the tensor whose gradient was the first to be not finite: backward goes from the last parameter to the
  /// first, and spreads a NaN that way.
  package func firstNonFiniteGradient() -> String? {
    for (slot, _, _) in slots.reversed() {
      guard let index = slot.gradient.sums.firstNonFinite() else { continue }
      return slot.parts.last { $0.offset <= index }?.name
    }
    return nil
  }

  /// One update of every parameter.
  /// - Parameters:
  ///   - norm: what ``gradientNorm()`` gave.
  ///   - step: updates so far, this one included.
  package func update(learningRate: Double, norm: Double, step: Int) {
    let arrays = slots.map { slot, m, v in
      AdamWArrays(
        master: slot.master, gradient: slot.gradient.sums, m: m, v: v, compute: slot.compute,
        decays: slot.decays)
    }
    adamW(
      arrays,
      AdamWStep(
        learningRate: Float(learningRate), beta1: settings.beta1, beta2: settings.beta2,
        epsilon: settings.epsilon, weightDecay: settings.weightDecay,
        gradientScale: Float(clipCoefficient(norm: norm)), step: step))
  }

  package func clearGradients() {
    for (slot, _, _) in slots { slot.gradient.clear() }
  }

  /// The moments under the names that a checkpoint gives them.
  package var namedTensors: [NamedTensor] {
    slots.flatMap { slot, m, v in
      slot.parts.flatMap { part in
        [
          NamedTensor(name: "optimizer.exp_avg." + part.name, tensor: m.view(at: part.offset, part.shape)),
          NamedTensor(name: "optimizer.exp_avg_sq." + part.name, tensor: v.view(at: part.offset, part.shape)),
        ]
      }
    }
  }
}
