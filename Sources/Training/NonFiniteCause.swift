/// Where a loss or gradient that is not finite comes from, for a person.
package struct NonFiniteCause: Sendable, Equatable, CustomStringConvertible {
  package var step: Int
  /// The loss or the gradient norm, with its value.
  package var what: String
  /// The first tensor with a NaN or infinity: weights first, then activations, then gradients.
  package var tensor: String

  package var description: String {
    "step \(step): \(what) is not finite; the first tensor with a NaN or infinity is \(tensor)"
  }
}
