package import Tensors

/// A value on a tape, and the gradient that has arrived for it so far.
package final class Variable {
  private var stored: Tensor?
  private var recipe: (() -> Tensor)?
  private var quantized: (codes: QuantizedTensor, settings: ScaleSettings)?
  package private(set) var gradient: Tensor?

  /// - Parameter recipe: computes the value again after ``forget()``; nil when it must be kept.
  package init(_ value: Tensor, recipe: (() -> Tensor)? = nil) {
    (stored, self.recipe) = (value, recipe)
  }

  /// The value; computed again, once, when it was forgotten.
  package var value: Tensor {
    if let stored { return stored }
    guard let recipe else { preconditionFailure("a variable without a recipe was forgotten") }
    let value = recipe()
    stored = value
    return value
  }

  /// The value as E4M3 codes in 1 × 128 tiles. Operations that read the same variable share them.
  /// - Parameter statistics: counts what happens, where it is asked for; with codes that are there already by
  ///   quantizing once more.
  package func codes(
    _ settings: ScaleSettings, statistics: QuantizationStatistics? = nil
  ) -> QuantizedTensor {
    if let quantized, quantized.settings == settings {
      if let statistics { _ = quantizeRows(value, settings, statistics: statistics) }
      return quantized.codes
    }
    let codes = quantizeRows(value, settings, statistics: statistics)
    quantized = (codes, settings)
    return codes
  }

  /// Forgets the codes: who needs them again has kept them, or quantizes anew.
  package func forgetCodes() { quantized = nil }

  /// Gives the value's memory back; backward computes it again (activation recomputation).
  package func forget() {
    if recipe != nil { stored = nil }
  }

  /// After backward has passed: gives back what nobody will read again. The recipe is what keeps the values further up
  /// alive.
  /// - Parameter keepsValue: a weight gradient that was put off still reads the value.
  func retire(keepsValue: Bool) {
    if !keepsValue { stored = nil }
    quantized = nil
    if !keepsValue || stored != nil { recipe = nil }
  }

  /// Adds to the gradient. Memory that others still read (a gradient that went to two inputs) is not overwritten.
  package func accumulate(_ addend: Tensor) {
    guard var sum = gradient else {
      gradient = addend
      return
    }
    gradient = nil
    if sum.isUniquelyOwned() {
      add(sum, addend, into: sum)
      gradient = sum
    } else {
      gradient = add(sum, addend)
    }
  }

  /// Hands the gradient over: nothing arrives after an operation has run backward.
  func takeGradient() -> Tensor? {
    defer { gradient = nil }
    return gradient
  }
}
