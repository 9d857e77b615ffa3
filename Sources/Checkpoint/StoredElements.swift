internal import Tensors

extension Tensor {
  /// Takes packed elements of a file, which may stand at any address, and converts them.
  ///
  /// - Parameter scales: of E4M3 codes, in blocks of 128 × 128.
  func copy(_ bytes: UnsafeRawBufferPointer, _ record: TensorRecord, scales: UnsafeRawBufferPointer?) {
    precondition(record.shape == shape, "\(record.name): \(record.shape) into \(shape)")
    if bytes.isEmpty { return }
    switch record.type {
    case dtype.scalarType: fill(from: bytes)
    case .float32: convert(from: Tensor(shape, .float32, copying: bytes, on: device))
    case .bfloat16: convert(from: Tensor(shape, .bfloat16, copying: bytes, on: device))
    case .float16: convert(from: Tensor(shape, halves: bytes, on: device))
    case .float8E4M3:
      guard let scales else { preconditionFailure("\(record.name): E4M3 codes without scales") }
      let factors = BlockScales.record(of: record).shape
      let quantized = QuantizedTensor(
        codes: Tensor(shape, .float8, copying: bytes, on: device),
        scales: Tensor([1] + factors, .float32, copying: scales, on: device), tiling: .blocks,
        hasPowerOfTwoScales: false)
      convert(from: quantized.dequantized(to: .float32))
    default: preconditionFailure("\(record.name): \(record.type.rawValue) was not refused")
    }
  }

  private func fill(from bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count == byteCount, "\(bytes.count) bytes for \(shape) \(dtype)")
    UnsafeMutableRawBufferPointer(start: pointer, count: byteCount).copyMemory(from: bytes)
  }

  private init(_ shape: [Int], _ dtype: DType, copying bytes: UnsafeRawBufferPointer, on device: Device) {
    self.init(shape, dtype, on: device)
    fill(from: bytes)
  }

  /// IEEE half precision, widened without loss. Rare in files of this family, so one by one.
  private init(_ shape: [Int], halves bytes: UnsafeRawBufferPointer, on device: Device) {
    self.init(shape, .float32, on: device)
    let values = floats
    for index in values.indices {
      let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
      values[index] = Float(Float16(bitPattern: bits))
    }
  }
}
