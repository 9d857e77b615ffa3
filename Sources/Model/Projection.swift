internal import Autograd
internal import Tensors

/// A matrix that rows are multiplied with, `y = x Wᵀ`, in the precision that the policy gives it.
struct Projection {
  let weight: Parameter

  /// nil for products of numbers.
  var float8: Float8Settings? { weight.float8 }

  /// Whether backward reads codes of x that forward made, unless told otherwise.
  var keepsCodes: Bool { float8?.gemms.contains(.wgrad) ?? false }

  /// How that is written which this matrix alone reads, or others like it: in FP8 as codes, and as numbers where one of
  /// its products reads those; nil for numbers alone.
  /// - Parameters:
  ///   - scales: of the codes, if not those of activations.
  ///   - keepsCodes: whether backward reads the codes that forward made; else it has the numbers computed again.
  func coding(
    _ context: ForwardContext, scales: ScaleSettings? = nil, keepsCodes: Bool = true
  ) -> RowCoding? {
    guard let float8 else { return nil }
    let readsCodes = (forward: float8.gemms.contains(.fprop), backward: float8.gemms.contains(.wgrad))
    let isRecording = context.tape.isRecording
    guard readsCodes.forward || (readsCodes.backward && keepsCodes && isRecording) else { return nil }
    let readsNumbers = !readsCodes.forward || (isRecording && keepsCodes && !readsCodes.backward)
    return RowCoding(scales ?? float8.activations, keepsNumbers: readsNumbers)
  }

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
