package import Tensors

/// `[y | rest] = x`, cut after the first `width` columns: the compressed latent and the shared rotary key. The output
/// is y; the rest is a further output.
package enum Split: Operation {
  package typealias Inputs = (x: Variable, width: Int)

  package struct Saved { package let rest: Variable }

  package static let name = "split"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] }

  package static func furtherOutputs(_ saved: Saved) -> [Variable] { [saved.rest] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Saved) {
    let (y, rest) = splitColumns(inputs.x.value, at: inputs.width)
    return (y, Saved(rest: Variable(rest)))
  }

  /// `dx = [dy | drest]`
  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Void) {
    let rest = saved.rest.takeGradient() ?? .zeros(saved.rest.value.shape, dy.dtype, on: dy.device)
    return ([joinColumns(dy, rest)], ())
  }
}
