extension Box {
  /// Consecutive elements of a tensor as boxes that hold them in the same order: at most 2 × dimensions − 1.
  ///
  /// Of a matrix these are the end of a row, whole rows, and the beginning of a row.
  /// - Parameter elements: of the tensor's elements, dense and row-major; not empty unless the tensor is.
  package static func boxes(of elements: Range<Int>, in shape: [Int]) -> [Box] {
    let whole = Box(shape)
    precondition(
      elements.lowerBound >= 0 && elements.upperBound <= whole.count, "elements \(elements) of \(shape)")
    if elements == 0..<whole.count { return [whole] }
    precondition(!elements.isEmpty, "no elements of \(shape)")
    let row = shape.dropFirst().reduce(1, *)
    let inner = Array(shape.dropFirst())
    func within(_ index: Int, _ part: Range<Int>) -> [Box] {
      boxes(of: part, in: inner).map { Box(offset: [index] + $0.offset, shape: [1] + $0.shape) }
    }
    let (first, last) = (elements.lowerBound / row, elements.upperBound / row)
    let (start, end) = (elements.lowerBound % row, elements.upperBound % row)
    if first == last { return within(first, start..<end) }
    let rows = first + (start > 0 ? 1 : 0)..<last
    return (start > 0 ? within(first, start..<row) : [])
      + (rows.isEmpty
        ? []
        : [Box(offset: [rows.lowerBound] + inner.map { _ in 0 }, shape: [rows.count] + inner)])
      + (end > 0 ? within(last, 0..<end) : [])
  }
}
