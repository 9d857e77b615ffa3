/// An axis-aligned part of a tensor: `offset[d] ..< offset[d] + shape[d]` in each dimension d.
package struct Box: Hashable, Sendable {
  package var offset: [Int]
  package var shape: [Int]

  package init(offset: [Int], shape: [Int]) {
    precondition(offset.count == shape.count, "\(offset) and \(shape) differ in dimensions")
    (self.offset, self.shape) = (offset, shape)
  }

  /// All of a tensor.
  package init(_ shape: [Int]) { self.init(offset: shape.map { _ in 0 }, shape: shape) }

  /// Elements in the box; the tensor must have been checked not to overflow.
  package var count: Int { shape.reduce(1, *) }

  func end(_ dimension: Int) -> Int { offset[dimension] + shape[dimension] }

  /// Where the element at `index` of the whole tensor stands among those of the box, dense and row-major.
  func offset(of index: [Int]) -> Int {
    shape.indices.reduce(0) { $0 * shape[$1] + index[$1] - offset[$1] }
  }

  func isInside(_ outer: [Int]) -> Bool {
    // Subtracted, not added: an offset read from a file may be huge.
    outer.count == shape.count
      && outer.indices.allSatisfy { offset[$0] >= 0 && shape[$0] >= 0 && offset[$0] <= outer[$0] - shape[$0] }
  }

  /// The common part, or nil if there is none.
  func intersection(_ other: Box) -> Box? {
    var common = self
    for dimension in shape.indices {
      let start = max(offset[dimension], other.offset[dimension])
      let end = min(end(dimension), other.end(dimension))
      guard start < end else { return nil }
      (common.offset[dimension], common.shape[dimension]) = (start, end - start)
    }
    return common
  }

  /// The parts below and from `cut` on; `cut` must lie inside.
  func divided(_ dimension: Int, at cut: Int) -> (Box, Box) {
    var (below, above) = (self, self)
    below.shape[dimension] = cut - offset[dimension]
    above.offset[dimension] = cut
    above.shape[dimension] = end(dimension) - cut
    return (below, above)
  }
}

extension Box: CustomStringConvertible {
  /// `[0..<4, 8..<16]`
  package var description: String {
    "[" + shape.indices.map { "\(offset[$0])..<\(end($0))" }.joined(separator: ", ") + "]"
  }
}
