package import Checkpoint
internal import Foundation

/// The folder of files made by other software; an `info.json` in each says how.
package let oracleDirectory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().appendingPathComponent("Oracle").path

extension TensorSource {
  /// A float32 tensor as an array.
  package func floats(_ name: String) throws(CheckpointError) -> [Float] { try elements(name, .float32) }

  /// An int32 or int64 tensor as an array.
  package func integers(_ name: String) throws(CheckpointError) -> [Int] {
    if try entry(name).type == .int64 { return try elements(name, .int64, as: Int64.self).map(Int.init) }
    return try elements(name, .int32, as: Int32.self).map(Int.init)
  }

  private func elements<Scalar>(
    _ name: String, _ type: ScalarType, as: Scalar.Type = Scalar.self
  ) throws(CheckpointError) -> [Scalar] {
    let bytes = try bytes(name)
    let stored = try entry(name).type
    guard stored == type else {
      throw CheckpointError(.malformed, path: path, "\(name) is \(stored), not \(type)")
    }
    return (0..<bytes.count / type.width).map {
      bytes.loadUnaligned(fromByteOffset: type.width * $0, as: Scalar.self)
    }
  }
}

/// `‖found − expected‖ / ‖expected‖`; where the expectation is all zero, 0 if and only if found is all zero too.
/// Infinite where sizes differ or anything is NaN, so that every comparison with a limit fails.
package func relativeError(_ found: some Collection<Float>, _ expected: some Collection<Float>) -> Double {
  guard found.count == expected.count else { return .infinity }
  var (difference, norm) = (0.0, 0.0)
  for (f, e) in zip(found, expected) {
    difference += (Double(f) - Double(e)) * (Double(f) - Double(e))
    norm += Double(e) * Double(e)
  }
  if norm == 0 { return difference == 0 ? 0 : .infinity }
  return difference.isFinite ? (difference / norm).squareRoot() : .infinity
}

/// `1 − 2⟨x, y⟩ / (⟨x, x⟩ + ⟨y, y⟩)`, as DeepGEMM compares products. Infinite where sizes differ or anything is NaN.
package func dissimilarity(_ x: [Double], _ y: [Double]) -> Double {
  guard x.count == y.count else { return .infinity }
  let dot = { (a: [Double], b: [Double]) in zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
  let value = 1 - 2 * dot(x, y) / (dot(x, x) + dot(y, y))
  return value.isNaN ? .infinity : value
}

package func dissimilarity(_ x: [Float], _ y: [Float]) -> Double {
  dissimilarity(x.map(Double.init), y.map(Double.init))
}
