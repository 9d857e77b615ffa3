internal import Autograd
internal import Tensors

/// `FFN(x) = (silu(x Wgᵀ) · (x Wuᵀ)) Wdᵀ`: a dense layer's, or the shared experts' as one of their joint width.
package struct FeedForward {
  private let gateUp, down: Projection
  /// Of the codes of x, in FP8: what routed experts read as well is quantized once.
  private let scales: ScaleSettings?

  init(
    inner: Int, width: Int, _ factory: ParameterFactory, prefix: String, _ float8: Float8Settings?,
    scales: ScaleSettings? = nil
  ) {
    gateUp = factory.gateUp(prefix, inner: inner, width: width, float8)
    down = factory.projection(prefix + ".down_proj", [width, inner], float8)
    self.scales = scales
  }

  /// Whether codes of the input are what backward reads.
  var keepsCodes: Bool { gateUp.keepsCodes }

  /// How the input is written.
  func coding(_ context: ForwardContext) -> RowCoding? { gateUp.coding(context, scales: scales) }

  func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    output(hidden(x, context), context)
  }

  /// The first half, `h = [x Wgᵀ | x Wuᵀ]`.
  func hidden(_ x: Variable, _ context: ForwardContext) -> Variable { gateUp(x, context, scales: scales) }

  /// The second half, from h on.
  func output(_ h: Variable, _ context: ForwardContext) -> Variable {
    let float8 = down.float8
    let kept = float8?.keepsSwiGLUInputAsCodes == true ? float8?.activations : nil
    // In FP8 backward computes a again, from h.
    let coding = down.coding(context, keepsCodes: false)
    let a = context.tape.apply(SwiGLU.self, SwiGLU.Inputs(h, codes: kept, coding: coding)).output
    let y = down(a, context, keepsCodes: false)
    if kept != nil { context.forget(h) }
    if float8 != nil { context.forget(a) }
    context.release(.swiglu, a)
    return y
  }
}
