package import Tensors

/// `y_t = W[id_t]`, with `W [V, D]` and ids `[T]`.
package enum Embedding: Operation {
  package typealias Inputs = (ids: [Int32], weight: Parameter)
  package static let name = "embedding"

  package static func variables(_ inputs: Inputs) -> [Variable] { [] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    let weight = inputs.weight.value
    let vocabulary = weight.rows
    for (t, id) in inputs.ids.enumerated() where id < 0 || Int(id) >= vocabulary {
      preconditionFailure("token \(id) at \(t) is outside of the vocabulary of \(vocabulary)")
    }
    return (gatherRows(weight, Tensor([inputs.ids.count], inputs.ids, on: weight.device)), ())
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _ saved: Void
  ) -> (gradients: [Tensor], carried: Void) { ([], ()) }

  /// `dW[id_t] += dy_t`, sums in float32.
  package static func weightGradient(_ dy: Tensor, _ inputs: Inputs, _ saved: Void, _ carried: Void) {
    scatterAddRows(dy, ids: inputs.ids, into: inputs.weight.gradient)
  }
}
