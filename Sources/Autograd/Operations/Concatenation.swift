package import Tensors

/// `y = [a | b]`, row by row: the input of a multi-token-prediction module.
package enum Concatenation: Operation {
  package typealias Inputs = (a: Variable, b: Variable)
  package static let name = "concatenation"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.a, inputs.b] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Int) {
    (joinColumns(inputs.a.value, inputs.b.value), inputs.a.value.columns)
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ width: Int
  ) -> (gradients: [Tensor], carried: Void) {
    let (da, db) = splitColumns(dy, at: width)
    return ([da, db], ())
  }
}
