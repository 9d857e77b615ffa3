internal import Tensors

/// The scales of block-quantized weights in a Hugging Face directory.
///
/// `X.weight` of E4M3 codes `[N, K]` has `X.weight_scale_inv` of float32 `[⌈N/128⌉, ⌈K/128⌉]`: a weight is its code
/// times the scale of its block, which multiplies in spite of its name. Source: DeepSeek-V3's README_WEIGHTS.
package enum BlockScales {
  private static let suffix = "_scale_inv"

  /// The name of the scales of a weight.
  package static func name(of weight: String) -> String { weight + suffix }

  /// The name of the weight that scales belong to.
  package static func weightName(of scales: String) -> String { String(scales.dropLast(suffix.count)) }

  /// Whether a tensor of this name holds scales.
  package static func isScales(_ name: String) -> Bool { name.hasSuffix(suffix) }

  /// The scales of a weight `[N, K]`.
  package static func record(of weight: TensorRecord) -> TensorRecord {
    precondition(weight.shape.count == 2, "\(weight.name) \(weight.shape) is no matrix")
    return TensorRecord(
      name: name(of: weight.name), type: .float32,
      shape: weight.shape.map(QuantizedTensor.tiles))
  }

  /// Everything that is wrong with the pairs of codes and scales among these tensors, and at which of them.
  static func faults(_ records: [String: TensorRecord]) -> [(name: String, message: String)] {
    records.values.sorted { $0.name < $1.name }.compactMap { record in
      let isCodes = record.type == .float8E4M3
      guard isCodes || isScales(record.name) else { return nil }
      let message = isCodes ? fault(ofCodes: record, records) : fault(ofScales: record, records)
      return message.map { (record.name, $0) }
    }
  }

  private static func fault(ofCodes codes: TensorRecord, _ records: [String: TensorRecord]) -> String? {
    let what = "\(quoted(codes.name)) is F8_E4M3 \(codes.shape)"
    guard codes.shape.count == 2 else { return "\(what): only a matrix has blocks of 128 × 128" }
    let expected = record(of: codes)
    guard let scales = records[expected.name] else {
      return "\(what), but its scales \(quoted(expected.name)) are missing"
    }
    guard scales != expected else { return nil }
    return
      "\(what), so \(quoted(scales.name)) must be F32 \(expected.shape), one scale a block of 128 × 128; "
      + "it is \(scales.type.rawValue) \(scales.shape)"
  }

  private static func fault(ofScales scales: TensorRecord, _ records: [String: TensorRecord]) -> String? {
    let weight = weightName(of: scales.name)
    guard let type = records[weight]?.type else {
      return "\(quoted(scales.name)) belongs to \(quoted(weight)), which is missing"
    }
    return type == .float8E4M3
      ? nil
      : "\(quoted(scales.name)) belongs to \(quoted(weight)), which is \(type.rawValue) and has no scales"
  }
}
