/// The `weight_map` of a `model.safetensors.index.json`: which shard should hold which tensor.
struct ShardIndex {
  private static let longest = 1 << 30

  private let path: String
  private let shardOfTensor: [String: String]
  /// The files that it lists, in order.
  let shardNames: [String]

  init(_ path: String) throws(CheckpointError) {
    let file = try MappedFile(path)
    guard file.bytes.count <= Self.longest else {
      throw CheckpointError(.malformed, path: path, "\(file.bytes.count) bytes are too long for an index")
    }
    var map: [String: String]?
    var reader = JSONReader(file.bytes, path: path)
    try reader.object { (reader, key) throws(CheckpointError) in
      guard key == "weight_map" else { return try reader.skip() }
      var shards: [String: String] = [:]
      try reader.object { (reader, name) throws(CheckpointError) in
        let shard = try reader.string()
        guard isPlainFileName(shard) else {
          throw reader.fault("\(quoted(shard)) is not the name of a *.safetensors file in this directory")
        }
        shards[name] = shard
      }
      map = shards
    }
    try reader.end()
    guard let map, !map.isEmpty else {
      throw CheckpointError(.malformed, path: path, "\"weight_map\" is missing or empty")
    }
    (self.path, shardOfTensor, shardNames) = (path, map, Set(map.values).sorted())
  }

  /// Requires that every shard holds exactly the tensors listed for it; names all that are not so.
  func check(_ shards: [SafetensorsFile]) throws(CheckpointError) {
    var faults: [String] = []
    var found: Set<String> = []
    for (shardName, shard) in zip(shardNames, shards) {
      for name in shard.names {
        found.insert(name)
        switch shardOfTensor[name] {
        case shardName: break
        case nil: faults.append("\(shardName) holds \(quoted(name)), which the index does not list")
        case let other?:
          faults.append("\(shardName) holds \(quoted(name)), which the index places in \(other)")
        }
      }
    }
    for (name, shardName) in shardOfTensor.sorted(by: { $0.key < $1.key }) where !found.contains(name) {
      faults.append("\(shardName) does not hold \(quoted(name)), which the index places there")
    }
    guard faults.isEmpty else { throw CheckpointError(.malformed, path: path, summary(faults)) }
  }
}

/// Whether a name read from a file may be opened beside that file: nothing but a `.safetensors` file in
/// the same place.
func isPlainFileName(_ name: String) -> Bool {
  let allowed = name.utf8.allSatisfy { byte in
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
      true
    default: false
    }
  }
  return allowed && name.hasSuffix(".safetensors") && !name.hasPrefix(".") && name.utf8.count <= 255
}
