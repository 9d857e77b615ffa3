package import Numerics

/// How the elements of a tensor are stored.
package enum DType: String, Sendable, CaseIterable, Encodable {
  case float32, bfloat16, int32

  package var byteCount: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16: 2
    }
  }
}

/// A Swift type that a tensor's elements can be read as.
package protocol TensorScalar: Sendable {
  static var dtype: DType { get }
}

extension Float: TensorScalar { package static var dtype: DType { .float32 } }
extension Int32: TensorScalar { package static var dtype: DType { .int32 } }
extension BFloat16: TensorScalar { package static var dtype: DType { .bfloat16 } }
