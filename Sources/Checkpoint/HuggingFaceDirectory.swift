/// The weights of a Hugging Face model directory, whichever way they are divided into files.
///
/// With `model.safetensors.index.json`, exactly the shards that it lists; else `model.safetensors` and, if it is
/// there too, `mtp.safetensors`; else every `*.safetensors` file.
package final class HuggingFaceDirectory {
  static let indexName = "model.safetensors.index.json"

  package let path: String
  /// All tensors, file by file; the scales of E4M3 weights are parts of them, not tensors of their own.
  package let names: [String]
  private let files: [String: SafetensorsFile]

  /// - Throws: `CheckpointError` if a file is missing or not valid, two files hold the same tensor, the
  ///   index and the shards do not agree, or E4M3 weights and scales do not go together.
  package init(_ path: String) throws(CheckpointError) {
    let shards = try Self.shards(in: path)
    var files: [String: SafetensorsFile] = [:]
    for shard in shards {
      for name in shard.names {
        if let other = files.updateValue(shard, forKey: name) {
          throw CheckpointError(
            .malformed, path: shard.path, "holds the tensor \(quoted(name)), which \(other.path) holds too")
        }
      }
    }
    (self.path, self.files) = (path, files)
    names = shards.flatMap(\.names).filter { !BlockScales.isScales($0) }
    try checkScales()
  }

  private func checkScales() throws(CheckpointError) {
    var records: [String: TensorRecord] = [:]
    for (name, file) in files { records[name] = try file.entry(name) }
    var faults: [String] = []
    for (name, message) in BlockScales.faults(records) {
      faults.append("\(try file(of: name).path.split(separator: "/").last ?? ""): \(message)")
    }
    guard faults.isEmpty else {
      throw CheckpointError(
        .malformed, path: path, "\(summary(faults, separator: "; ")); is the directory complete?")
    }
  }

  package func contains(_ name: String) -> Bool { files[name] != nil }

  /// A tensor's type and shape.
  ///
  /// - Throws: `CheckpointError` of kind `.missing` if no file holds it.
  package func entry(_ name: String) throws(CheckpointError) -> TensorRecord {
    try file(of: name).entry(name)
  }

  /// A tensor's elements; valid while this object lives.
  ///
  /// - Throws: `CheckpointError` of kind `.missing` if no file holds it.
  package func bytes(_ name: String) throws(CheckpointError) -> UnsafeRawBufferPointer {
    try file(of: name).bytes(name)
  }

  /// The scales of an E4M3 weight; nil for other types.
  ///
  /// - Throws: `CheckpointError` of kind `.missing` if no file holds the weight.
  package func scales(_ name: String) throws(CheckpointError) -> UnsafeRawBufferPointer? {
    try entry(name).type == .float8E4M3 ? try bytes(BlockScales.name(of: name)) : nil
  }

  /// The file that holds a tensor.
  package func file(of name: String) throws(CheckpointError) -> SafetensorsFile {
    guard let file = files[name] else {
      throw CheckpointError(.missing, path: path, "no file holds the tensor \(quoted(name))")
    }
    return file
  }

  private static func shards(in path: String) throws(CheckpointError) -> [SafetensorsFile] {
    let present = try directoryContents(path).filter { $0.hasSuffix(".safetensors") }
    let indexPath = "\(path)/\(indexName)"
    guard exists(indexPath) else {
      guard !present.isEmpty else {
        throw CheckpointError(.missing, path: path, "holds neither \(indexName) nor a *.safetensors file")
      }
      // Inputs and results of a probe may lie beside the weights.
      let named = present.filter { $0 == "model.safetensors" || $0 == "mtp.safetensors" }
      return try open(present.contains("model.safetensors") ? named : present, in: path)
    }
    let index = try ShardIndex(indexPath)
    if present.contains("model.safetensors"), !index.shardNames.contains("model.safetensors") {
      throw CheckpointError(
        .malformed, path: path,
        "holds both model.safetensors and \(indexName): remove the one that is not meant")
    }
    let shards = try open(index.shardNames, in: path)
    try index.check(shards)
    return shards
  }

  private static func open(
    _ names: [String], in path: String
  ) throws(CheckpointError) -> [SafetensorsFile] {
    var files: [SafetensorsFile] = []
    for name in names { files.append(try SafetensorsFile("\(path)/\(name)")) }
    return files
  }
}
