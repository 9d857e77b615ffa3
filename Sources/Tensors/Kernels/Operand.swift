/// What a product reads: numbers, or E4M3 codes with a scale for each tile.
package enum Operand {
  case numbers(Tensor)
  case codes(QuantizedTensor)

  /// The array that the offsets and row lengths of a ``Product`` count in.
  package var tensor: Tensor {
    switch self {
    case .numbers(let tensor): tensor
    case .codes(let quantized): quantized.codes
    }
  }

  package var byteCount: Int {
    switch self {
    case .numbers(let tensor): tensor.byteCount
    case .codes(let quantized): quantized.byteCount
    }
  }
}

extension Operand {
  /// The numbers, in bfloat16 where they have to be made from codes.
  package var numbers: Tensor {
    switch self {
    case .numbers(let tensor): tensor
    case .codes(let quantized): quantized.dequantized(to: .bfloat16)
    }
  }
}

@available(*, unavailable)
extension Operand: Sendable {}
