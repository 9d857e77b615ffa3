/// A checkpoint on the disk, opened and checked; its tensors are mapped, not read.
package final class StoredCheckpoint {
  /// The directory.
  package let path: String
  package let manifest: Manifest
  private let files: [String: SafetensorsFile]
  private let tensors: [String: Manifest.Tensor]

  /// Which files are read to the end to compare their SHA-256; of the others, lengths and headers are compared.
  package enum Hashing: Sendable, Equatable {
    case all, none
    /// Those of one rank, where the others have theirs, so that each file is read once.
    case share(rank: Int, of: Int)

    /// Whether other ranks read the same files.
    var isShared: Bool { if case .share(_, let ranks) = self { ranks > 1 } else { false } }

    func includes(_ file: Int) -> Bool {
      switch self {
      case .all: true
      case .none: false
      case .share(let rank, let ranks): file % ranks == rank
      }
    }
  }

  /// Opens the checkpoint in the directory `path`.
  ///
  /// - Throws: `CheckpointError`: `.missing` or `.damaged` for a file that is not as the manifest says,
  ///   `.malformed` or `.unsupported` for a manifest that cannot be used; its `path` names the file.
  package init(_ path: String, hashing: Hashing = .all) throws(CheckpointError) {
    manifest = try Manifest(contentsOf: "\(path)/\(Manifest.fileName)")
    var files: [String: SafetensorsFile] = [:]
    for (index, file) in manifest.files.enumerated() {
      try Self.checkLength(file, at: "\(path)/\(file.name)")
      // What the checkpoint holds is mapped after that.
      if hashing.includes(index) { try Self.checkHash(file, at: "\(path)/\(file.name)", staysCached: true) }
      do throws(CheckpointError) { files[file.name] = try SafetensorsFile("\(path)/\(file.name)") } catch {
        // That it is not what was saved says more than what is wrong with the header.
        if !hashing.includes(index) { try Self.checkHash(file, at: "\(path)/\(file.name)") }
        throw error
      }
    }
    (self.path, self.files) = (path, files)
    tensors = Dictionary(uniqueKeysWithValues: manifest.tensors.map { ($0.record.name, $0) })
    try checkSlices()
  }

  /// Compares the lengths of all files with the manifest, and opens none of them.
  static func checkLengths(_ manifest: Manifest, in path: String) throws(CheckpointError) {
    for file in manifest.files { try checkLength(file, at: "\(path)/\(file.name)") }
  }

  static func checkLength(_ file: Manifest.File, at path: String) throws(CheckpointError) {
    let length = try ReadableFile(path).length
    if length != file.digest.length { try file.require(FileDigest(length: length, sha256: ""), at: path) }
  }

  /// Reads and hashes a file.
  static func checkHash(
    _ file: Manifest.File, at path: String, staysCached: Bool = false
  ) throws(CheckpointError) {
    try file.require(try FileDigest(ofFileAt: path, staysCached: staysCached), at: path)
  }

  /// Every slice is in its file as the manifest says, and the files hold nothing else.
  private func checkSlices() throws(CheckpointError) {
    var used: [String: Int] = [:]
    for tensor in manifest.tensors {
      for slice in tensor.slices {
        let stored = try file(of: slice).entry(slice.key)
        guard stored.type == tensor.record.type, stored.shape == slice.box.shape else {
          throw CheckpointError(
            .malformed, path: "\(path)/\(slice.file)",
            "\(quoted(slice.key)) is \(stored.type.rawValue) \(stored.shape), the manifest says"
              + " \(tensor.record.type.rawValue) \(slice.box.shape)")
        }
        used[slice.file, default: 0] += 1
      }
    }
    // Keys are unique in the manifest, so equal counts mean equal sets.
    for (name, file) in files where file.names.count != used[name, default: 0] {
      throw CheckpointError(
        .malformed, path: file.path,
        "holds \(file.names.count) tensors, the manifest uses \(used[name, default: 0]) of them")
    }
  }

  package var names: [String] { manifest.tensors.map(\.record.name) }

  package func contains(_ name: String) -> Bool { tensors[name] != nil }

  /// A tensor's type and global shape.
  ///
  /// - Throws: `CheckpointError` of kind `.missing` if the checkpoint does not hold it.
  package func entry(_ name: String) throws(CheckpointError) -> TensorRecord { try tensor(name).record }

  /// A tensor's elements where they are mapped; valid while this object lives.
  ///
  /// - Throws: `CheckpointError`: `.missing`, or `.unsupported` for a tensor stored in several slices,
  ///   which nowhere stands in one piece: `copy` gathers it.
  package func bytes(_ name: String) throws(CheckpointError) -> UnsafeRawBufferPointer {
    let tensor = try tensor(name)
    guard let slice = tensor.slices.first, tensor.slices.count == 1 else {
      throw CheckpointError(
        .unsupported, path: path,
        "the tensor \(quoted(name)) is stored in \(tensor.slices.count) slices: copy it")
    }
    return try file(of: slice).bytes(slice.key)
  }

  /// Copies part of a tensor, dense and row-major, from whichever slices hold it.
  ///
  /// - Parameters:
  ///   - region: What to copy; nil for all of the tensor.
  ///   - destination: Exactly as many bytes as the region has.
  /// - Throws: `CheckpointError` of kind `.missing` if the checkpoint does not hold the tensor.
  package func copy(
    _ name: String, region: Box? = nil, to destination: UnsafeMutableRawBufferPointer
  ) throws(CheckpointError) {
    let tensor = try tensor(name)
    let region = region ?? Box(tensor.record.shape)
    let width = tensor.record.type.width
    precondition(region.isInside(tensor.record.shape), "\(region) of \(name) \(tensor.record.shape)")
    precondition(
      destination.count == region.count * width, "\(destination.count) bytes for \(region) of \(name)")
    for slice in tensor.slices {
      copyCommonElements(
        from: try file(of: slice).bytes(slice.key), of: slice.box, to: destination, of: region, width: width)
    }
  }

  package func read(
    _ name: String, elements: Range<Int>, to destination: UnsafeMutableRawBufferPointer
  ) throws(CheckpointError) {
    let record = try entry(name)
    var end = 0
    for box in Box.boxes(of: elements, in: record.shape) {
      let begin = end
      end += box.count * record.type.width
      let part = UnsafeMutableRawBufferPointer(rebasing: destination[begin..<end])
      try copy(name, region: box, to: part)
    }
  }

  /// Where the parts of a tensor are.
  func slices(
    of name: String
  ) throws(CheckpointError) -> [(file: String, type: ScalarType, place: Range<Int>, box: Box)] {
    let tensor = try tensor(name)
    var slices: [(file: String, type: ScalarType, place: Range<Int>, box: Box)] = []
    for slice in tensor.slices {
      slices.append((slice.file, tensor.record.type, try file(of: slice).place(slice.key), slice.box))
    }
    return slices
  }

  private func tensor(_ name: String) throws(CheckpointError) -> Manifest.Tensor {
    guard let tensor = tensors[name] else {
      throw CheckpointError(
        .missing, path: path, "holds no tensor \(quoted(name)) among its \(tensors.count): \(summary(names))")
    }
    return tensor
  }

  private func file(of slice: Manifest.Slice) throws(CheckpointError) -> SafetensorsFile {
    guard let file = files[slice.file] else {
      preconditionFailure("\(slice.file) is not in a checked manifest")
    }
    return file
  }
}

extension Manifest.File {
  /// - Throws: `CheckpointError` of kind `.damaged` if the file at `path` is not the one that was saved.
  func require(_ found: FileDigest, at path: String) throws(CheckpointError) {
    if found == digest { return }
    throw CheckpointError(
      .damaged, path: path,
      found.length == digest.length
        ? "its SHA-256 is not the one in the manifest: the content has changed"
        : "is \(found.length) bytes long, the manifest says \(digest.length): truncated or replaced")
  }
}
