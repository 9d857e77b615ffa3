package import Tensors

/// An operation on tokens that is computed a slice of them at a time, and forward once more before backward, so that
/// memory is that of one slice: `y[s] = f(x[s], w[s])`.
///
/// `x [T, D]`, weights `[T, K]`, `y [T, D]`. Gradients of parameters are added slice by slice, in backward, which does not
/// read y: it may be forgotten once it was added to the residual stream.
package enum TokenSlices: Operation {
  package struct Inputs {
    package let x, weights: Variable
    /// They follow each other, and are all tokens.
    package let slices: [Range<Int>]
    /// Records f of a slice.
    package let body: (_ x: Variable, _ weights: Variable, _ slice: Range<Int>, _ tape: Tape) -> Variable

    package init(
      x: Variable, weights: Variable, slices: [Range<Int>],
      body: @escaping (_ x: Variable, _ weights: Variable, _ slice: Range<Int>, _ tape: Tape) -> Variable
    ) {
      (self.x, self.weights, self.slices, self.body) = (x, weights, slices, body)
    }

    /// A slice's part of both.
    fileprivate func variables(_ slice: Range<Int>) -> (x: Variable, weights: Variable) {
      (Variable(x.value.rows(slice)), Variable(weights.value.rows(slice)))
    }
  }

  package static let name = "token slices"
  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x, inputs.weights] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
    let x = inputs.x.value
    let y = Tensor(x.shape, x.dtype, on: x.device)
    for slice in inputs.slices {
      let (xs, ws) = inputs.variables(slice)
      y.rows(slice).copy(inputs.body(xs, ws, slice, Tape(on: x.device, isRecording: false)).value)
    }
    return (y, ())
  }

  package static func outputAgain(_: Inputs, _: Void) -> Tensor {
    preconditionFailure("what was computed by slices was forgotten, and is read")
  }

  package static func inputGradient(
    _ dy: Tensor, _ inputs: Inputs, _: Void
  ) -> (gradients: [Tensor], carried: Void) {
    let weights = inputs.weights.value
    let dx = Tensor.zeros(dy.shape, dy.dtype, on: dy.device)
    let dWeights = Tensor.zeros(weights.shape, weights.dtype, on: dy.device)
    for slice in inputs.slices {
      let (xs, ws) = inputs.variables(slice)
      let tape = Tape(on: dy.device)
      tape.backward(from: [(inputs.body(xs, ws, slice, tape), dy.rows(slice))])
      if let gradient = xs.gradient { dx.rows(slice).copy(gradient) }
      if let gradient = ws.gradient { dWeights.rows(slice).copy(gradient) }
    }
    return ([dx, dWeights], ())
  }
}
