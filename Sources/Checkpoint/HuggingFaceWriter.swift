/// Writes weights in the division into files that Hugging Face directories have.
///
/// `model.safetensors`, or, where that would be too large, `model-00001-of-00008.safetensors` and so on with
/// `model.safetensors.index.json`. Source: the layout that transformers' `save_pretrained` writes.
package struct HuggingFaceWriter {
  /// The most bytes of elements in a shard, as the released models have it; a larger tensor has one for itself.
  package static let usualShardBytes = 5_000_000_000

  private let shards: [[TensorRecord]]
  /// Bytes of all elements.
  package let byteCount: Int

  /// Divides tensors into shards, in their order.
  package init(_ records: [TensorRecord], shardBytes: Int = Self.usualShardBytes) {
    precondition(!records.isEmpty && shardBytes > 0, "\(records.count) tensors in shards of \(shardBytes)")
    var shards: [[TensorRecord]] = [[]]
    var filled = 0
    for record in records {
      if filled > 0, filled + record.byteCount > shardBytes {
        shards.append([])
        filled = 0
      }
      shards[shards.count - 1].append(record)
      filled += record.byteCount
    }
    self.shards = shards
    byteCount = records.reduce(0) { $0 + $1.byteCount }
  }

  /// The files of weights, in order.
  package var fileNames: [String] {
    guard shards.count > 1 else { return ["model.safetensors"] }
    return shards.indices.map { "model-\(fiveDigits($0 + 1))-of-\(fiveDigits(shards.count)).safetensors" }
  }

  /// Writes all files into a directory, which must exist; they are on the disk when it returns.
  ///
  /// - Parameter bytes: As for `SafetensorsWriter.write`.
  /// - Throws: `CheckpointError` if a file cannot be written, and what `bytes` throws.
  package func write(
    to directory: String, on fileSystem: any FileSystem = PosixFileSystem(), bytes: TensorBytes
  ) throws(CheckpointError) {
    do throws(CheckpointError) {
      for (name, records) in zip(fileNames, shards) {
        // transformers refuses files that do not say this.
        let writer = try SafetensorsWriter(records, metadata: ["format": "pt"])
        try writer.write(to: "\(directory)/\(name)", on: fileSystem, bytes: bytes)
      }
      if shards.count > 1 {
        try fileSystem.createDurably("\(directory)/\(HuggingFaceDirectory.indexName)", index)
      }
    } catch { throw error.withSpace(needed: byteCount, in: directory) }
  }

  /// The text of `model.safetensors.index.json`.
  private var index: [UInt8] {
    let lines = zip(fileNames, shards).flatMap { file, records in
      records.map { (name: $0.name, line: "    \(jsonString($0.name)): \(jsonString(file))") }
    }.sorted { $0.name < $1.name }.map(\.line)
    let text = """
      {
        "metadata": {
          "total_size": \(byteCount)
        },
        "weight_map": {
      \(lines.joined(separator: ",\n"))
        }
      }

      """
    return Array(text.utf8)
  }
}
