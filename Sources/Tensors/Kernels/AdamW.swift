internal import CKernels

/// The scalars of one AdamW step.
package struct AdamWStep: Sendable {
  package var learningRate, beta1, beta2, epsilon, weightDecay: Float
  /// Factor on the gradient: the clip.
  package var gradientScale: Float
  /// How many steps there have been, this one included.
  package var step: Int

  package init(
    learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, gradientScale: Float,
    step: Int
  ) {
    (self.learningRate, self.beta1, self.beta2) = (learningRate, beta1, beta2)
    (self.epsilon, self.weightDecay) = (epsilon, weightDecay)
    (self.gradientScale, self.step) = (gradientScale, step)
  }

  fileprivate var scalars: hadal_adamw_scalars {
    let (b1, b2) = (power(Double(beta1), step), power(Double(beta2), step))
    return hadal_adamw_scalars(
      gradient_scale: gradientScale, decay: Float(1 - Double(learningRate) * Double(weightDecay)),
      beta1: beta1, beta2: beta2, step_size: Float(Double(learningRate) / (1 - b1)),
      v_scale: Float(1 / (1 - b2).squareRoot()), epsilon: epsilon)
  }
}

private func power(_ base: Double, _ exponent: Int) -> Double {
  var (result, square, rest) = (1.0, base, exponent)
  while rest > 0 {
    if rest & 1 == 1 { result *= square }
    square *= square
    rest >>= 1
  }
  return result
}

/// The arrays of one parameter that AdamW works on, all of one shape.
package struct AdamWArrays {
  /// float32.
  package let master, gradient: Tensor
  /// float32 or bfloat16.
  package let m, v: Tensor
  /// Receives the new values; bfloat16, or the memory of the master itself.
  package let compute: Tensor
  /// Whether the weights decay.
  package let decays: Bool

  package init(master: Tensor, gradient: Tensor, m: Tensor, v: Tensor, compute: Tensor, decays: Bool) {
    (self.master, self.gradient, self.m, self.v) = (master, gradient, m, v)
    (self.compute, self.decays) = (compute, decays)
  }

  fileprivate var output: Tensor? { compute.pointer == master.pointer ? nil : compute }

  fileprivate var byteCount: Int {
    3 * master.byteCount + 2 * (m.byteCount + v.byteCount) + (output?.byteCount ?? 0)
  }

  fileprivate func update(_ range: Range<Int>, _ scalars: UnsafePointer<hadal_adamw_scalars>) {
    precondition(
      output.map { $0.dtype == .bfloat16 } ?? true, "AdamW cannot write weights as \(compute.dtype)")
    let (first, moment) = (range.lowerBound, m.dtype.byteCount)
    master.device.typed(m.dtype).adamw(
      master.floats.baseAddress! + first, gradient.floats.baseAddress! + first, m.pointer + first * moment,
      v.pointer + first * moment, output.map { $0.pointer + first * DType.bfloat16.byteCount }, range.count,
      scalars)
  }
}

/// One AdamW step of many parameters in one loop. What has been read is in registers until all that follows from it
/// is written: each array passes once.
package func adamW(_ arrays: [AdamWArrays], _ step: AdamWStep) {
  guard let device = arrays.first?.master.device else { return }
  let pieces = ArrayPieces(arrays.map(\.master.count))
  let decaying = step.scalars
  var constant = decaying
  constant.decay = 1
  let scalars = [constant, decaying]
  device.measured("AdamW", bytes: arrays.reduce(0) { $0 + $1.byteCount }) {
    scalars.withUnsafeBufferPointer { scalars in
      device.workers.forEach(pieces.count) { i in
        let (array, range) = pieces[i]
        arrays[array].update(range, scalars.baseAddress! + (arrays[array].decays ? 1 : 0))
      }
    }
  }
}
