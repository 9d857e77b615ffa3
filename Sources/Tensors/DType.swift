package import Numerics

/// How the elements of a tensor are stored.
package enum DType: String, Sendable, CaseIterable, Encodable {
  case float32, bfloat16, int32
  /// E4M3 codes, which mean something with the scales of a `QuantizedTensor` only.
  case float8 = "float8_e4m3fn"
  /// Bytes of a packed format.
  case uint8

  package var byteCount: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16: 2
    case .float8, .uint8: 1
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
extension Float8E4M3: TensorScalar { package static var dtype: DType { .float8 } }
extension UInt8: TensorScalar { package static var dtype: DType { .uint8 } }
