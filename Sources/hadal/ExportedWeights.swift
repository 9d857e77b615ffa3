internal import Checkpoint
internal import Model
internal import Tensors

/// The weights of a checkpoint as a Hugging Face directory holds them: types, order, and elements on demand.
struct ExportedWeights {
  private let stored: StoredCheckpoint
  private let format: Export.Format
  private let device: Device
  private let weights: ModelWeights
  /// Under the names of the modules' layers what they share with the main model: released files repeat it.
  private let copies: [String: String]

  init(_ stored: StoredCheckpoint, _ model: ModelConfiguration, format: Export.Format, on device: Device) {
    (self.stored, self.format, self.device) = (stored, format, device)
    weights = ModelWeights(model)
    copies = ModelWeights.moduleLayers(model).reduce(into: [:]) { copies, layer in
      for (name, original) in HuggingFaceModel.sharedTensors {
        copies[ModelWeights.prefix(layer) + name] = original
      }
    }
  }

  /// All tensors of the directory; scales follow their codes.
  ///
  /// - Throws: `CheckpointError` if the checkpoint does not hold the model that its configuration describes.
  func records() throws(CheckpointError) -> [TensorRecord] {
    try stored.requireReadable(weights.records)
    var records: [TensorRecord] = []
    for record in weights.records { records += self.records(of: record) }
    for (name, original) in copies.sorted(by: { $0.key < $1.key }) {
      records += self.records(
        of: TensorRecord(name: name, type: .float32, shape: try stored.entry(original).shape))
    }
    return records
  }

  private func records(of master: TensorRecord) -> [TensorRecord] {
    let record = TensorRecord(name: master.name, type: type(of: master.name), shape: master.shape)
    return record.type == .float8E4M3 ? [record, BlockScales.record(of: record)] : [record]
  }

  private func type(of name: String) -> ScalarType {
    if name.hasSuffix(".e_score_correction_bias") { return .float32 }
    switch format {
    case .float32: return .float32
    case .bfloat16: return .bfloat16
    case .fp8: return Self.isQuantized(name) ? .float8E4M3 : .bfloat16
    }
  }

  /// The linear layers of blocks. Embedding, head, norms, routers and the modules' `eh_proj` are not quantized.
  private static func isQuantized(_ name: String) -> Bool {
    [
      "q_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj",
      "down_proj",
    ].contains { name.hasSuffix(".\($0).weight") }
  }

  /// Gives the elements of a tensor of `records()`.
  ///
  /// - Throws: `CheckpointError` for a weight that is no number, where the format has none for it; what `write` throws.
  func write(
    _ name: String, _ write: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    guard !BlockScales.isScales(name) else {
      // Quantized anew for the codes: a file has all scales before any codes, and keeping them all takes memory.
      return try write(try quantized(BlockScales.weightName(of: name)).scales.bytes)
    }
    switch type(of: name) {
    case .float8E4M3: try write(try quantized(name).codes.bytes)
    case .bfloat16: try write(try master(name).converted(to: .bfloat16).bytes)
    default: try write(try master(name).bytes)
    }
  }

  private func quantized(_ name: String) throws(CheckpointError) -> QuantizedTensor {
    let weight = try master(name)
    if let index = weight.firstNonFinite() {
      throw CheckpointError(
        .malformed, path: stored.path,
        "\"\(name)\" is \(weight.floats[index]) at element \(index), which FP8 cannot hold; "
          + "export an earlier checkpoint, or with --dtype float32")
    }
    return quantizeBlocks(weight, period: weight.rows, ScaleSettings())
  }

  private func master(_ name: String) throws(CheckpointError) -> Tensor {
    let name = copies[name] ?? name
    let tensor = Tensor(try stored.entry(name).shape, on: device)
    try stored.copy(name, to: UnsafeMutableRawBufferPointer(start: tensor.pointer, count: tensor.byteCount))
    return tensor
  }
}
