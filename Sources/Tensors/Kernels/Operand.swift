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
  /// Where codes lie, good in `body` only; nil for numbers.
  func withView<Result>(_ body: (CodeView?) -> Result) -> Result {
    switch self {
    case .numbers: body(nil)
    case .codes(let codes): codes.withView(body)
    }
  }

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
