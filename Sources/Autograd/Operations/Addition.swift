package import Tensors

/// `y = a + b`: the residual stream.
package enum Addition: Operation {
  package typealias Inputs = (a: Variable, b: Variable)
  package static let name = "addition"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.a, inputs.b] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    (add(inputs.a.value, inputs.b.value), ())
  }

  /// `da = db = dy`
  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ saved: Void
  ) -> (gradients: [Tensor], carried: Void) { ([dy, dy], ()) }
}
