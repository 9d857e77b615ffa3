package import Tensors

/// The residual stream where a stage of a pipeline ends: `s = x + Σ branches`, `[T, D]`, one or two branches.
///
/// The sum is rounded once, to the bits that ``ResidualNorm`` gives; the next stage's first norm reads it.
package enum ResidualSum: Operation {
  package typealias Inputs = (x: Variable, branches: [Variable])
  package static let name = "residual sum"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] + inputs.branches }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    (residualSum(inputs.x.value, inputs.branches.map(\.value)), ())
  }

  /// `dx = dbranch = ds`
  package static func inputGradient(
    _ ds: Tensor, _ inputs: Inputs, _ saved: Void
  ) -> (gradients: [Tensor], carried: Void) { (variables(inputs).map { _ in ds }, ()) }
}
