package import Tensors

/// `a = silu(gate) · up`, with `h = [gate | up] [T, 2I]` and `a [T, I]`. Source: Shazeer, arXiv:2002.05202.
package enum SwiGLU: Operation {
  package struct Inputs {
    package let h: Variable
    /// Where given, h is kept for backward as E4M3 codes: its own value may then be forgotten.
    package let codes: ScaleSettings?

    package init(_ h: Variable, codes: ScaleSettings? = nil) { (self.h, self.codes) = (h, codes) }
  }

  /// h, if as codes.
  package typealias Saved = QuantizedTensor?
  package static let name = "SwiGLU"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.h] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Saved) {
    let h = inputs.h.value
    return (swiglu(h), recording ? inputs.codes.map { quantizeRows(h, $0) } : nil)
  }

  package static func outputAgain(_ inputs: Inputs, _ saved: Saved) -> Tensor {
    swiglu(input(inputs, saved))
  }

  /// `dgate = da · up · (σ + silu · (1 − σ))`, `dup = da · silu`, with σ = sigmoid(gate).
  package static func inputGradient(
    _ da: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Void) { ([swigluGradient(da, input(inputs, saved)).dh], ()) }

  private static func input(_ inputs: Inputs, _ saved: Saved) -> Tensor {
    saved?.dequantized(to: .bfloat16) ?? inputs.h.value
  }
}
