extension Manifest {
  /// Longer manifests are refused unread.
  private static let longest = 1 << 30
  private static let mostDimensions = 64

  /// Reads and checks a manifest.
  ///
  /// - Throws: `CheckpointError`: `.missing`, `.damaged` if its seal does not fit, `.unsupported` for
  ///   another version, `.malformed` if anything in it is not as it must be.
  package init(contentsOf path: String) throws(CheckpointError) {
    let file = try MappedFile(path)
    guard file.bytes.count <= Self.longest else {
      throw CheckpointError(.malformed, path: path, "\(file.bytes.count) bytes are too long for a manifest")
    }
    try ManifestSeal.check(file.bytes, path: path)
    var reader = JSONReader(file.bytes, path: path)
    self.init(configuration: "", step: 0, tokens: 0, nextSample: 0, state: [:], files: [], tensors: [])
    try read(&reader)
    withExtendedLifetime(file) {}
    try validate(path: path)
  }

  private mutating func read(_ reader: inout JSONReader) throws(CheckpointError) {
    let keys = [
      "format", "version", "step", "tokens", "next_sample", "configuration", "state", "files", "tensors",
      "seal",
    ]
    var read = 0
    try reader.object { (reader, key) throws(CheckpointError) in
      // In this order: what `version` does not promise must not be read first.
      guard read < keys.count, key == keys[read] else {
        throw reader.fault(
          "\(quoted(key)) where \(read < keys.count ? quoted(keys[read]) : "the end") should be")
      }
      read += 1
      try readMember(key, &reader)
    }
    guard read == keys.count else { throw reader.fault("\(quoted(keys[read])) is missing") }
    try reader.end()
  }

  private mutating func readMember(_ key: String, _ reader: inout JSONReader) throws(CheckpointError) {
    switch key {
    case "format":
      let format = try reader.string()
      guard format == Self.format else {
        throw reader.fault("the format is \(quoted(format)), not \(Self.format)")
      }
    case "version":
      let version = try reader.natural()
      guard version == Self.version else {
        var error = reader.fault(
          "written in version \(version) of the format; this program reads version \(Self.version)")
        error.kind = .unsupported
        throw error
      }
    case "step": step = try reader.natural()
    case "tokens": tokens = try reader.natural()
    case "next_sample": nextSample = try reader.natural()
    case "configuration": configuration = try reader.string()
    case "state":
      try reader.object { (reader, key) throws(CheckpointError) in state[key] = try reader.scalar() }
    case "files":
      try reader.array { (reader) throws(CheckpointError) in files.append(try Self.file(&reader)) }
    case "tensors":
      try reader.array { (reader) throws(CheckpointError) in tensors.append(try Self.tensor(&reader)) }
    default: _ = try reader.string()  // the seal: checked before
    }
  }

  private static func file(_ reader: inout JSONReader) throws(CheckpointError) -> File {
    var name: String?
    var length: Int?
    var sha256: String?
    try reader.object { (reader, key) throws(CheckpointError) in
      switch key {
      case "name": name = try reader.string()
      case "length": length = try reader.natural()
      case "sha256": sha256 = try reader.string()
      default: throw reader.fault("a file has no \(quoted(key))")
      }
    }
    guard let name, let length, let sha256 else { throw reader.fault("a file needs name, length and sha256") }
    return File(name: name, digest: FileDigest(length: length, sha256: sha256))
  }

  private static func tensor(_ reader: inout JSONReader) throws(CheckpointError) -> Tensor {
    var name: String?
    var type: ScalarType?
    var shape: [Int]?
    var slices: [Slice]?
    try reader.object { (reader, key) throws(CheckpointError) in
      switch key {
      case "name": name = try reader.string()
      case "dtype":
        let text = try reader.string()
        type = ScalarType(rawValue: text)
        if type == nil { throw reader.fault("the dtype \(quoted(text)) is not known") }
      case "shape": shape = try reader.naturals(limit: mostDimensions)
      case "slices":
        var list: [Slice] = []
        try reader.array { (reader) throws(CheckpointError) in list.append(try slice(&reader)) }
        slices = list
      default: throw reader.fault("a tensor has no \(quoted(key))")
      }
    }
    guard let name, let type, let shape, let slices else {
      throw reader.fault("a tensor needs name, dtype, shape and slices")
    }
    guard TensorRecord.byteCount(type, shape) != nil else {
      throw reader.fault("\(quoted(name)): the shape \(shape) overflows")
    }
    return Tensor(TensorRecord(name: name, type: type, shape: shape), slices: slices)
  }

  private static func slice(_ reader: inout JSONReader) throws(CheckpointError) -> Slice {
    var offset: [Int]?
    var shape: [Int]?
    var file: String?
    var key: String?
    try reader.object { (reader, member) throws(CheckpointError) in
      switch member {
      case "offset": offset = try reader.naturals(limit: mostDimensions)
      case "shape": shape = try reader.naturals(limit: mostDimensions)
      case "file": file = try reader.string()
      case "key": key = try reader.string()
      default: throw reader.fault("a slice has no \(quoted(member))")
      }
    }
    guard let offset, let shape, let file, let key else {
      throw reader.fault("a slice needs offset, shape, file and key")
    }
    guard offset.count == shape.count else { throw reader.fault("a slice at \(offset) of shape \(shape)") }
    return Slice(box: Box(offset: offset, shape: shape), file: file, key: key)
  }
}
