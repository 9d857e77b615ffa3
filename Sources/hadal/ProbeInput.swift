internal import Checkpoint
internal import Model

/// The tokens that a probe runs on.
struct ProbeInput {
  private static let name = "input_ids"
  let path: String

  /// The rows of `input_ids`, each its own labels.
  ///
  /// - Parameter depths: how many tokens further ahead than the next one are predicted.
  /// - Throws: `CheckpointError` for a file that is no safetensors, `ProbeError` for what it holds.
  func batch(_ model: ModelConfiguration, depths: Int) throws -> MicroBatch {
    let file = try SafetensorsFile(path)
    guard file.contains(Self.name) else {
      throw ProbeError(
        path: path, message: "holds no \(Self.name); it has: \(file.names.joined(separator: ", "))")
    }
    let others = file.names.filter { $0 != Self.name }
    if let first = others.first {
      let rest = others.count > 1 ? " and \(others.count - 1) more are" : " is"
      Console.note("warning: \(path): \(first)\(rest) not used; a probe reads \(Self.name) alone")
    }
    let record = try file.entry(Self.name)
    guard record.type == .int64, record.shape.count == 2 else {
      throw fault("must be int64 [B, S], but is \(record.type.rawValue) \(record.shape)")
    }
    let (rows, length) = (record.shape[0], record.shape[1])
    guard rows >= 1 else { throw fault("has no rows: \(record.shape)") }
    guard length >= depths + 2 else {
      let depth = depths == 0 ? "" : " at depth \(depths) of multi-token prediction"
      throw fault(
        "has rows of \(length); with fewer than \(depths + 2) tokens nothing can be predicted\(depth)")
    }
    if length > model.maxPositionEmbeddings {
      let limit = model.maxPositionEmbeddings
      Console.note("warning: \(path): rows of \(length) exceed max_position_embeddings (\(limit))")
    }
    let ids = try ids(try file.bytes(Self.name), length: length, vocabulary: model.vocabSize)
    return MicroBatch(rows: (0..<rows).map { Array(ids[$0 * length..<($0 + 1) * length]) })
  }

  private func ids(
    _ bytes: UnsafeRawBufferPointer, length: Int, vocabulary: Int
  ) throws(ProbeError) -> [Int32] {
    var ids: [Int32] = []
    for index in 0..<bytes.count / 8 {
      let id = Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: Int64.self))
      guard (0..<Int64(vocabulary)).contains(id) else {
        throw fault(
          "[\(index / length), \(index % length)] is \(id), the vocabulary has \(vocabulary) tokens")
      }
      ids.append(Int32(id))
    }
    return ids
  }

  private func fault(_ message: String) -> ProbeError {
    ProbeError(path: path, message: "\(Self.name) \(message)")
  }
}
