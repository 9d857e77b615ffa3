package import Tensors

/// `y = [a | b]`, row by row: the input of a multi-token-prediction module.
package enum Concatenation: Operation {
  package typealias Inputs = (a: Variable, b: Variable)
  package static let name = "concatenation"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.a, inputs.b] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: (Int, Int)) {
    let (a, b) = (inputs.a.value, inputs.b.value)
    let y = Tensor([a.rows, a.columns + b.columns], a.dtype, on: a.device)
    copyColumns(a, from: 0, into: y, at: 0, width: a.columns)
    copyColumns(b, from: 0, into: y, at: a.columns, width: b.columns)
    return (y, (a.columns, b.columns))
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ widths: (Int, Int)
  ) -> (gradients: [Tensor], carried: Void) {
    ([columns(dy, from: 0, width: widths.0), columns(dy, from: widths.0, width: widths.1)], ())
  }
}
