internal import Autograd
internal import Numerics
internal import Tensors

extension DeepSeek {
  /// Initial weights: matrices N(0, std²), norm gains 1, router biases 0. Each tensor's numbers depend on the seed and
  /// on its checkpoint name alone, so a layout does not change them. Source: DeepSeek-V3, arXiv:2412.19437, §4.2.
  package func initialize(seed: UInt64) {
    let deviation = configuration.initializerRange
    for parameter in parameters {
      for part in parameter.parts {
        let values = parameter.master(of: part)
        if part.shape.count == 1 {
          values.floats.update(repeating: 1)
        } else {
          values.fillWithNormals(Philox(seed: seed, name: part.name), deviation: deviation)
        }
      }
      parameter.masterDidChange()
    }
    for buffer in buffers { buffer.tensor.fillWithZeros() }
  }
}

extension Tensor {
  fileprivate func fillWithNormals(_ generator: Philox, deviation: Float) {
    let x = floats
    device.workers.forEachRange((count + 3) / 4, grain: 1 << 12) { range in
      for block in range {
        let n = generator.normals(UInt64(block))
        let at = block * 4
        x[at] = deviation * n.0
        if at + 1 < x.count { x[at + 1] = deviation * n.1 }
        if at + 2 < x.count { x[at + 2] = deviation * n.2 }
        if at + 3 < x.count { x[at + 3] = deviation * n.3 }
      }
    }
  }
}
