package import Tensors

// Shapes: T tokens, K inputs, N outputs.

/// `y = x Wᵀ`, with `x [T, K]`, `W [N, K]` and `y [T, N]`; sums in float32. No bias, as in all of DeepSeek's models.
package enum Linear: Operation {
  package typealias Inputs = (x: Variable, weight: Parameter)
  package static let name = "linear"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    (matmul(inputs.x.value, inputs.weight.value, .nt, packed: inputs.weight.packed), ())
  }

  /// `dx = dy W`
  package static func inputGradient(
    _ dyTN: Tensor, _ inputs: Inputs, _ saved: Void
  ) -> (gradients: [Tensor], carried: Void) {
    ([matmul(dyTN, inputs.weight.value, .nn, packed: inputs.weight.packed)], ())
  }

  /// `dW += dyᵀ x`
  package static func weightGradient(_ dyTN: Tensor, _ inputs: Inputs, _ saved: Void, _ carried: Void) {
    matmul(dyTN, inputs.x.value, .tn, into: inputs.weight.gradientSums.takeTarget())
  }
}
