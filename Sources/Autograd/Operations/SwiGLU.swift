package import Tensors

/// `a = silu(gate) · up`, with `h = [gate | up] [T, 2I]` and `a [T, I]`. Source: Shazeer, arXiv:2002.05202.
package enum SwiGLU: Operation {
  package typealias Inputs = Variable
  package static let name = "SwiGLU"

  package static func variables(_ h: Variable) -> [Variable] { [h] }

  package static func forward(_ h: Variable, recording: Bool) -> (output: Tensor, saved: Void) {
    (swiglu(h.value), ())
  }

  /// `dgate = da · up · (σ + silu · (1 − σ))`, `dup = da · silu`, with σ = sigmoid(gate).
  package static func inputGradient(
    _ da: Tensor, _ h: Variable, _ saved: Void
  ) -> (gradients: [Tensor], carried: Void) { ([swigluGradient(da, h.value).dh], ()) }
}
