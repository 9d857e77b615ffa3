import Autograd
import Tensors

/// `y = a + b`: the smallest operation on which gradients meet.
enum Addition: Operation {
  typealias Inputs = (a: Variable, b: Variable)
  static let name = "addition"

  static func variables(_ inputs: Inputs) -> [Variable] { [inputs.a, inputs.b] }

  static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    (add(inputs.a.value, inputs.b.value), ())
  }

  /// `da = db = dy`
  static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ saved: Void
  ) -> (gradients: [Tensor], carried: Void) { ([dy, dy], ()) }
}
