package import Tensors

/// `y_t = W[id_t]`, with `W [V, D]` and ids `[T]`.
package enum Embedding: Operation {
  package typealias Inputs = (ids: [Int32], weight: Parameter)
  package static let name = "embedding"

  package static func variables(_ inputs: Inputs) -> [Variable] { [] }

  /// Saves the ids as a tensor.
  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Tensor) {
    let weight = inputs.weight.value
    let ids = Tensor([inputs.ids.count], inputs.ids, on: weight.device)
    if let t = ids.firstOutside(weight.rows) {
      preconditionFailure("token \(inputs.ids[t]) at \(t) is outside of the vocabulary of \(weight.rows)")
    }
    return (gatherRows(weight, ids), ids)
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ ids: Tensor
  ) -> (gradients: [Tensor], carried: Void) { ([], ()) }

  /// `dW[id_t] += dy_t`, sums in float32.
  package static func weightGradient(_ dy: Tensor, _ inputs: Inputs, _ ids: Tensor, _ carried: Void) {
    let (dWeight, accumulate) = inputs.weight.gradientSums.takeTarget()
    scatterAddRows(dy, ids: ids, into: dWeight, accumulate: accumulate)
  }
}
