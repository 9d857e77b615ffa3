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

/// One AdamW step on a float32 master copy; `m` and `v` float32 or bfloat16. `compute`, when it is other memory than
/// the master, receives the new value in its own type.
package func adamW(
  master: Tensor, gradient: Tensor, m: Tensor, v: Tensor, compute: Tensor, _ step: AdamWStep
) {
  let device = master.device
  let (kernel, width) = (device.typed(m.dtype).adamw!, m.dtype.byteCount)
  let scalars = step.scalars
  let (p, g, mp, vp) = (master.floats.baseAddress!, gradient.floats.baseAddress!, m.pointer, v.pointer)
  let output = compute.pointer == master.pointer ? nil : compute
  let bytes = 3 * master.byteCount + 2 * (m.byteCount + v.byteCount) + (output?.byteCount ?? 0)
  device.measured("AdamW", bytes: bytes) {
    device.workers.forEachRange(master.count, grain: elementGrain) { range in
      let first = range.lowerBound
      withUnsafePointer(to: scalars) {
        kernel(p + first, g + first, mp + first * width, vp + first * width, range.count, $0)
      }
      guard let output else { return }
      device.typed(output.dtype).from_float(
        p + first, output.pointer + first * output.dtype.byteCount, range.count)
    }
  }
}
