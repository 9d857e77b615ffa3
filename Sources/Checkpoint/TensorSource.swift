package import Tensors

/// Anything that holds tensors by name: a safetensors file, an HF directory, a checkpoint.
package protocol TensorSource {
  /// How messages call it.
  var path: String { get }
  var names: [String] { get }
  func contains(_ name: String) -> Bool
  func entry(_ name: String) throws(CheckpointError) -> TensorRecord
  func bytes(_ name: String) throws(CheckpointError) -> UnsafeRawBufferPointer
  /// Copies consecutive elements of a tensor, as they are stored; `destination` has exactly their bytes.
  func read(
    _ name: String, elements: Range<Int>, to destination: UnsafeMutableRawBufferPointer
  ) throws(CheckpointError)
  /// What the E4M3 codes of a tensor are multiplied by, block by block (`BlockScales`); nil where it has none.
  func scales(_ name: String) throws(CheckpointError) -> UnsafeRawBufferPointer?
}

extension TensorSource {
  package func scales(_ name: String) throws(CheckpointError) -> UnsafeRawBufferPointer? { nil }

  package func read(
    _ name: String, elements: Range<Int>, to destination: UnsafeMutableRawBufferPointer
  ) throws(CheckpointError) {
    let width = try entry(name).type.width
    let bytes = try bytes(name)[elements.lowerBound * width..<elements.upperBound * width]
    destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes))
  }
}

extension SafetensorsFile: TensorSource {}
extension HuggingFaceDirectory: TensorSource {}
extension StoredCheckpoint: TensorSource {}

extension NamedTensor {
  package var record: TensorRecord {
    TensorRecord(name: name, type: tensor.dtype.scalarType, shape: tensor.shape)
  }
}

extension TensorSource {
  /// Fills tensors from those of the same names; nothing is written unless all are there with the right shapes.
  ///
  /// Float types are converted (to nearest, ties to even) where they differ, E4M3 codes multiplied by their scales.
  /// - Throws: `CheckpointError` that lists every missing tensor, wrong shape and type that cannot be converted.
  package func load(into targets: [NamedTensor]) throws(CheckpointError) {
    try requireReadable(targets.map(\.record))
    for target in targets { try fill(target.tensor, with: target.name) }
  }

  /// Fills a tensor with all elements of a stored one, or with some that follow each other.
  ///
  /// - Parameter elements: as many as `tensor` has, of a tensor that `requireReadable` has not refused.
  package func fill(
    _ tensor: Tensor, with name: String, elements: Range<Int>? = nil
  ) throws(CheckpointError) {
    let stored = try entry(name)
    let elements = elements ?? 0..<stored.elementCount
    precondition(elements.count == tensor.count, "\(elements) of \(name) into \(tensor.shape)")
    if tensor.count == 0 { return }
    if stored.type == tensor.dtype.scalarType {
      return try read(
        name, elements: elements,
        to: UnsafeMutableRawBufferPointer(start: tensor.pointer, count: tensor.byteCount))
    }
    if let scales = try scales(name) { return tensor.copy(try bytes(name), stored, scales: scales) }
    let part = TensorRecord(name: name, type: stored.type, shape: tensor.shape)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: part.byteCount, alignment: 64)
    defer { buffer.deallocate() }
    try read(name, elements: elements, to: buffer)
    tensor.copy(UnsafeRawBufferPointer(buffer), part, scales: nil)
  }

  /// Requires that all of these tensors can be read in these types, without reading any.
  ///
  /// - Throws: `CheckpointError` that lists every missing tensor, wrong shape and type that cannot be converted.
  package func requireReadable(_ wanted: [TensorRecord]) throws(CheckpointError) {
    var faults: [String] = []
    for record in wanted { if let fault = try fault(reading: record) { faults.append(fault) } }
    guard faults.isEmpty else {
      throw CheckpointError(.malformed, path: path, summary(faults, separator: "; "))
    }
  }

  private func fault(reading wanted: TensorRecord) throws(CheckpointError) -> String? {
    let name = quoted(wanted.name)
    guard contains(wanted.name) else { return "holds no tensor \(name)" }
    let record = try entry(wanted.name)
    if record.shape != wanted.shape {
      return "\(name) has shape \(record.shape), the model needs \(wanted.shape)"
    }
    let hasScales = try scales(wanted.name) != nil
    guard !record.type.isReadable(as: wanted.type, hasScales: hasScales) else { return nil }
    return "\(name) is \(record.type.rawValue), which cannot be read as \(wanted.type.rawValue)"
  }
}

extension ScalarType {
  fileprivate func isReadable(as wanted: ScalarType, hasScales: Bool) -> Bool {
    switch (self, wanted) {
    case (.float32, .float32), (.float32, .bfloat16), (.bfloat16, .float32), (.bfloat16, .bfloat16): true
    case (.float16, .float32), (.float16, .bfloat16): true
    case (.float8E4M3, .float32), (.float8E4M3, .bfloat16): hasScales
    default: self == wanted
    }
  }
}

extension DType {
  package var scalarType: ScalarType {
    switch self {
    case .float32: .float32
    case .bfloat16: .bfloat16
    case .int32: .int32
    case .float8: .float8E4M3
    case .uint8: .uint8
    }
  }
}

extension Tensor {
  /// The elements as they are stored.
  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: pointer, count: byteCount) }
}
