package import Tensors

/// The output head and its loss in one: `loss = Σ_t scale_t · (logsumexp(W h_t) − (W h_t)[label_t])`.
///
/// `h [T, D]`, `W [V, D]`, output `[1]` float32. Logits, softmax and sums in float32; they exist chunk by chunk only.
/// Nothing comes after a loss, so its gradient is known to be 1: the forward pass computes both gradients while a
/// chunk's logits are at hand (three products in all), and `weightGradient` has nothing left to do.
package enum CrossEntropyHead: Operation {
  package struct Inputs {
    package let h: Variable
    package let weight: Parameter
    /// `[T]` int32; negative: ignored.
    package let labels: Tensor
    /// `[T]` float32: each row's factor in the objective.
    package let scale: Tensor

    package init(h: Variable, weight: Parameter, labels: Tensor, scale: Tensor) {
      (self.h, self.weight, self.labels, self.scale) = (h, weight, labels, scale)
    }
  }

  package struct Saved {
    /// −log p(label) of each row, 0 where ignored; `[T]` float32.
    package let losses: Tensor
    fileprivate let inputGradient: Tensor?
  }

  package static let name = "cross-entropy head"
  package static let isRecomputable = false

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.h] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Saved) {
    let result = crossEntropyHead(
      inputs.h.value, inputs.weight.value, labels: inputs.labels, scale: inputs.scale,
      packed: inputs.weight.packed,
      gradients: recording ? inputs.weight.gradientSums.takeTarget() : nil)
    let saved = Saved(losses: result.losses, inputGradient: result.inputGradient)
    return (Tensor([1], [Float(result.objective)], on: result.losses.device), saved)
  }

  package static func inputGradient(
    _ dLoss: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Void) {
    precondition(dLoss.floats[0] == 1, "a loss is a root: its gradient is 1, not \(dLoss.floats[0])")
    guard let gradient = saved.inputGradient else { preconditionFailure("the forward pass was not recorded") }
    return ([gradient], ())
  }
}
