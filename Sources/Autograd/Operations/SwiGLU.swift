package import Tensors

/// `a = silu(gate) · up`, with `h = [gate | up] [T, 2I]` and `a [T, I]`. Source: Shazeer, arXiv:2002.05202.
package enum SwiGLU: Operation {
  package struct Inputs {
    package let h: Variable
    /// Where given, h is kept for backward as E4M3 codes: its own value may then be forgotten.
    package let codes: ScaleSettings?
    package let coding: RowCoding?

    /// - Parameter coding: of a, where its readers read codes.
    package init(_ h: Variable, codes: ScaleSettings? = nil, coding: RowCoding? = nil) {
      (self.h, self.codes, self.coding) = (h, codes, coding)
    }
  }

  /// h, if as codes.
  package typealias Saved = QuantizedTensor?
  package static let name = "SwiGLU"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.h] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: RowsOutput, saved: Saved) {
    let (h, kept) = (inputs.h.value, recording ? inputs.codes : nil)
    guard let coding = inputs.coding else { return (.numbers(swiglu(h)), kept.map { quantizeRows(h, $0) }) }
    let (a, codes) = swiglu(h, coding, keeping: kept)
    return (.coded(a), codes)
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
