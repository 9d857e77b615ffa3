/// A tensor without its elements: name, type and shape.
package struct TensorRecord: Hashable, Sendable {
  package let name: String
  package let type: ScalarType
  /// The extent of each dimension, outermost first; empty for a scalar.
  package let shape: [Int]
  /// Bytes of all elements, stored densely in row-major order.
  package let byteCount: Int

  package init(name: String, type: ScalarType, shape: [Int]) {
    guard let byteCount = Self.byteCount(type, shape) else {
      preconditionFailure("\(name): \(shape) is not the shape of a tensor that fits in memory")
    }
    (self.name, self.type, self.shape, self.byteCount) = (name, type, shape, byteCount)
  }

  package var elementCount: Int { byteCount / type.width }

  /// The bytes of a dense tensor, or nil if an extent is negative or the product overflows.
  package static func byteCount(_ type: ScalarType, _ shape: [Int]) -> Int? {
    var count = type.width
    for extent in shape {
      let (product, overflows) = count.multipliedReportingOverflow(by: extent)
      if overflows || extent < 0 { return nil }
      count = product
    }
    return count
  }
}
