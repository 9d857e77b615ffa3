package import Tensors

/// A learnable array: the float32 master copy, what operations read, and the gradient.
///
/// One array may hold several tensors of a checkpoint (gate and up projection, all experts): `parts` names them.
package final class Parameter {
  /// A tensor of the checkpoint inside a parameter: `count` consecutive elements.
  package struct Part: Sendable {
    package let name: String
    package let offset: Int
    package let shape: [Int]
    package init(name: String, offset: Int, shape: [Int]) {
      (self.name, self.offset, self.shape) = (name, offset, shape)
    }
    package var count: Int { shape.reduce(1, *) }
  }

  package let name: String
  package let parts: [Part]
  /// float32; the truth that the optimizer updates.
  package let master: Tensor
  /// What operations read: the master itself, or its copy in the compute type.
  package let value: Tensor
  /// float32 sums over the micro-batches of a step: where operations add.
  package let gradientSums: Accumulator
  /// What ``gradientSums`` holds; zeros for a parameter that has received nothing.
  package var gradient: Tensor { gradientSums.sums }

  /// - Parameter compute: the type that operations read the parameter in.
  package init(name: String, parts: [Part], shape: [Int], compute: DType, on device: Device) {
    precondition(
      parts.reduce(0) { $0 + $1.count } == shape.reduce(1, *), "the parts of \(name) do not cover \(shape)")
    (self.name, self.parts) = (name, parts)
    master = Tensor(shape, on: device)
    gradientSums = Accumulator(shape, on: device)
    value = compute == .float32 ? master : Tensor(shape, compute, on: device)
  }

  /// Brings what operations read up to date with the master copy.
  package func masterDidChange() {
    if value.dtype != .float32 { value.convert(from: master) }
  }

  /// The master copy of a part.
  package func master(of part: Part) -> Tensor { master.view(at: part.offset, part.shape) }

  /// The gradient of a part.
  package func gradient(of part: Part) -> Tensor { gradient.view(at: part.offset, part.shape) }
}

@available(*, unavailable)
extension Parameter: Sendable {}
