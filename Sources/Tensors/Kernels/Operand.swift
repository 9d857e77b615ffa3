/// What a product reads: numbers, or E4M3 codes with a scale for each tile.
enum Operand {
  case numbers(Tensor)
  case codes(QuantizedTensor)

  /// The array that the offsets and row lengths of a ``Product`` count in.
  var tensor: Tensor {
    switch self {
    case .numbers(let tensor): tensor
    case .codes(let quantized): quantized.codes
    }
  }

  var byteCount: Int {
    switch self {
    case .numbers(let tensor): tensor.byteCount
    case .codes(let quantized): quantized.byteCount
    }
  }
}
