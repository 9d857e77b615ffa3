package import Tensors

/// `y = x[:, begin ..< begin + width]`: cuts the compressed latent from the shared rotary key.
package enum Columns: Operation {
  package typealias Inputs = (x: Variable, begin: Int, width: Int)
  package static let name = "columns"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: [Int]) {
    let x = inputs.x.value
    return (columns(x, from: inputs.begin, width: inputs.width), x.shape)
  }

  /// `dx` is dy in these columns and zero in the others.
  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ shape: [Int]
  ) -> (gradients: [Tensor], carried: Void) {
    let dx = Tensor.zeros(shape, dy.dtype, on: dy.device)
    copyColumns(dy, from: 0, into: dx, at: inputs.begin, width: inputs.width)
    return ([dx], ())
  }
}
