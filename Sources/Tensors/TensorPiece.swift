/// Consecutive elements of a tensor of a checkpoint: what one rank holds of it.
package struct TensorPiece {
  package let name: String
  /// Of the whole tensor.
  package let shape: [Int]
  package let range: Range<Int>
  /// The elements, `[range.count]`.
  package let tensor: Tensor

  package init(name: String, shape: [Int], range: Range<Int>, tensor: Tensor) {
    (self.name, self.shape, self.range, self.tensor) = (name, shape, range, tensor)
  }

  /// All of a tensor.
  package init(_ whole: NamedTensor) {
    self.init(
      name: whole.name, shape: whole.tensor.shape, range: 0..<whole.tensor.count, tensor: whole.tensor)
  }

  package var isWhole: Bool { range == 0..<shape.reduce(1, *) }
}
