package import Tensors

/// What an optimizer updates: one parameter's arrays, or the elements of them that this rank owns.
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
  /// The elements whose moments are here, and that are updated here: all, unless other ranks have the others (ZeRO-1).
  package let owned: Range<Int>

  /// - Parameter owned: nil for all.
  package init(
    parts: [Part], master: Tensor, gradient: Accumulator, compute: Tensor, owned: Range<Int>? = nil
  ) {
    let all = 0..<master.count
    (self.parts, self.master, self.gradient, self.compute) = (parts, master, gradient, compute)
    self.owned = owned ?? all
    precondition(
      self.owned.isEmpty || all.contains(self.owned.lowerBound) && self.owned.upperBound <= all.upperBound,
      "elements \(self.owned) of \(all)")
  }

  /// The owned elements of one of the arrays.
  fileprivate func owned(_ array: Tensor) -> Tensor { array.view(at: owned.lowerBound, [owned.count]) }

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
/// global gradient norm. Moments are held of owned elements only.
package final class Optimizer {
  private let slots: [(slot: OptimizerSlot, m: Tensor, v: Tensor)]
  private let settings: AdamWSettings

  package init(_ slots: [OptimizerSlot], _ settings: AdamWSettings, moments: DType) {
    self.settings = settings
    self.slots = slots.map { slot in
      let zeros = { Tensor.zeros([slot.owned.count], moments, on: slot.master.device) }
      return (slot, zeros(), zeros())
    }
  }

  /// The sum of the squares of all owned gradients; NaN or infinite when any of them is.
  package func gradientSquares() -> Double {
    sumOfSquares(slots.map { slot, _, _ in slot.owned(slot.gradient.sums) })
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

  /// One update of every owned element.
  /// - Parameters:
  ///   - norm: the L2 norm of the whole gradient.
  ///   - step: updates so far, this one included.
  package func update(learningRate: Double, norm: Double, step: Int) {
    let arrays = slots.map { slot, m, v in
      AdamWArrays(
        master: slot.owned(slot.master), gradient: slot.owned(slot.gradient.sums), m: m, v: v,
        compute: slot.owned(slot.compute), decays: slot.decays)
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

  /// The owned moments under the names that a checkpoint gives them.
  package var moments: [TensorPiece] {
    slots.flatMap { slot, m, v in
      slot.pieces(of: m, from: slot.owned.lowerBound, prefix: "optimizer.exp_avg.")
        + slot.pieces(of: v, from: slot.owned.lowerBound, prefix: "optimizer.exp_avg_sq.")
    }
  }

  /// The owned gradients under the names of their tensors.
  package var gradients: [TensorPiece] {
    slots.flatMap { slot, _, _ in slot.pieces(of: slot.gradient.sums, from: 0, prefix: "") }
  }

  /// The owned master weights under the names that a checkpoint gives them.
  package var weights: [TensorPiece] {
    slots.flatMap { slot, _, _ in slot.pieces(of: slot.master, from: 0, prefix: "") }
  }
}

extension OptimizerSlot {
  /// - Parameters:
  ///   - array: the elements of the parameter from `first` on.
  fileprivate func pieces(of array: Tensor, from first: Int, prefix: String) -> [TensorPiece] {
    parts.compactMap { name, offset, shape in
      let part = offset..<offset + shape.reduce(1, *)
      let common = part.clamped(to: owned)
      guard !common.isEmpty else { return nil }
      return TensorPiece(
        name: prefix + name, shape: shape, range: common.lowerBound - offset..<common.upperBound - offset,
        tensor: array.view(at: common.lowerBound - first, [common.count]))
    }
  }
}
