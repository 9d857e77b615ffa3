package import Tensors

/// `y_t = x_t` where `keeps[t]`, else 0: what multi-token prediction does at the end of a document, when asked to.
package enum RowMask: Operation {
  package typealias Inputs = (x: Variable, keeps: [Bool])
  package static let name = "row mask"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    (maskRows(inputs.x.value, inputs.keeps), ())
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ saved: Void
  ) -> (gradients: [Tensor], carried: Void) { ([maskRows(dy, inputs.keeps)], ()) }
}
