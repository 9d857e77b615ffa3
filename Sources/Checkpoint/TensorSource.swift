package import Tensors

/// Anything that holds tensors by name: a safetensors file, an HF directory, a checkpoint.
package protocol TensorSource {
  /// How messages call it.
  var path: String { get }
  func contains(_ name: String) -> Bool
  func entry(_ name: String) throws(CheckpointError) -> TensorRecord
  func bytes(_ name: String) throws(CheckpointError) -> UnsafeRawBufferPointer
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
  /// Float types are converted (to nearest, ties to even) where they differ.
  /// - Throws: `CheckpointError` that lists every missing tensor, wrong shape and type that cannot be converted.
  package func load(into targets: [NamedTensor]) throws(CheckpointError) {
    var faults: [String] = []
    for target in targets {
      guard contains(target.name) else {
        faults.append("holds no tensor \(quoted(target.name))")
        continue
      }
      let record = try entry(target.name)
      if record.shape != target.tensor.shape {
        faults.append(
          "\(quoted(target.name)) has shape \(record.shape), the model needs \(target.tensor.shape)")
      } else if !Self.isReadable(record.type, as: target.tensor.dtype) {
        faults.append(
          "\(quoted(target.name)) is \(record.type.rawValue), which cannot be read as \(target.tensor.dtype)")
      }
    }
    guard faults.isEmpty else {
      let shown = faults.prefix(8).joined(separator: "; ")
      let rest = faults.count > 8 ? "; and \(faults.count - 8) more" : ""
      throw CheckpointError(.malformed, path: path, shown + rest)
    }
    for target in targets { target.tensor.copy(try bytes(target.name), try entry(target.name).type) }
  }

  private static func isReadable(_ type: ScalarType, as dtype: DType) -> Bool {
    switch dtype {
    case .float32, .bfloat16: type == .float32 || type == .bfloat16
    case .int32, .float8, .uint8: type == dtype.scalarType
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
  /// Reads packed elements, which may stand at any address.
  fileprivate func copy(_ bytes: UnsafeRawBufferPointer, _ type: ScalarType) {
    guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
    if type == dtype.scalarType { return pointer.copyMemory(from: base, byteCount: bytes.count) }
    let staged = Tensor(shape, type == .bfloat16 ? .bfloat16 : .float32, on: device)
    staged.pointer.copyMemory(from: base, byteCount: bytes.count)
    convert(from: staged)
  }

  /// The elements as they are stored.
  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: pointer, count: byteCount) }
}
