internal import Autograd
internal import Tensors

/// `FFN(x) = (silu(x Wgᵀ) · (x Wuᵀ)) Wdᵀ`: a dense layer's, or the shared experts' as one of their joint width.
package struct FeedForward {
  private let gateUp, down: Parameter

  init(inner: Int, width: Int, _ factory: ParameterFactory, prefix: String) {
    gateUp = factory.gateUp(prefix, inner: inner, width: width)
    down = factory.matrix(prefix + ".down_proj", [width, inner])
  }

  func callAsFunction(_ x: Variable, _ context: ForwardContext) -> Variable {
    let h = context.tape.apply(Linear.self, (x, gateUp)).output
    let a = context.tape.apply(SwiGLU.self, h).output
    let y = context.tape.apply(Linear.self, (a, down)).output
    context.release(.swiglu, a)
    return y
  }
}
