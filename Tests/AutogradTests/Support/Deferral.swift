import Autograd
import Tensors

extension Tape {
  /// What is left of a backward pass: the weight gradients, or nothing.
  func backward(from roots: [(Variable, Tensor)], deferring: Bool) -> [WeightWork] {
    if deferring { return inputGradients(from: roots) }
    backward(from: roots)
    return []
  }
}
