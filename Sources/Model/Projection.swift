internal import Autograd
internal import Tensors

/// A matrix that rows are multiplied with, `y = x Wᵀ`, in the precision that the policy gives it.
struct Projection {
  let weight: Parameter

  /// nil for products of numbers.
  var float8: Float8Settings? { weight.float8 }

  /// Whether backward reads codes of x that forward made, unless told otherwise.
  var keepsCodes: Bool { float8?.gemms.contains(.wgrad) ?? false }

  /// - Parameters:
  ///   - scales: of the codes of x, in FP8.
  ///   - keepsCodes: whether backward reads the codes that forward made; else it reads x again.
  func callAsFunction(
    _ x: Variable, _ context: ForwardContext, scales: ScaleSettings? = nil, keepsCodes: Bool = true
  ) -> Variable {
    guard let float8 else { return context.tape.apply(Linear.self, (x, weight)).output }
    let inputs = QuantizedLinear.Inputs(
      x: x, weight: weight, settings: float8, scales: scales ?? float8.activations, keepsCodes: keepsCodes,
      monitor: context.monitor)
    return context.tape.apply(QuantizedLinear.self, inputs).output
  }
}
