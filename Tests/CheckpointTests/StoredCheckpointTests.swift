import Checkpoint
import Foundation
import Testing

/// Checkpoints that several ranks wrote: each tensor in slices, over several files.
@Suite struct StoredCheckpointTests {
  private let scratch: Scratch
  private static let tensors = [
    TensorRecord(name: "w", type: .uint16, shape: [6, 5, 4]),
    TensorRecord(name: "b", type: .float32, shape: [10]),
    TensorRecord(name: "s", type: .float64, shape: []),
  ]

  init() throws { scratch = try Scratch() }

  /// The bytes of `box`, element by element.
  private func part(_ record: TensorRecord, _ box: Box) -> [UInt8] {
    let whole = content(record)
    var bytes: [UInt8] = []
    for number in 0..<box.count {
      var (rest, place, stride) = (number, 0, 1)
      for dimension in record.shape.indices.reversed() {
        place += stride * (box.offset[dimension] + rest % box.shape[dimension])
        rest /= box.shape[dimension]
        stride *= record.shape[dimension]
      }
      bytes += whole[place * record.type.width..<(place + 1) * record.type.width]
    }
    return bytes
  }

  private static let boxes: [String: [(rank: Int, box: Box)]] = [
    "w": [
      (0, Box(offset: [0, 0, 0], shape: [2, 5, 4])), (1, Box(offset: [2, 0, 0], shape: [4, 2, 4])),
      (0, Box(offset: [2, 2, 0], shape: [4, 3, 3])), (1, Box(offset: [2, 2, 3], shape: [4, 3, 1])),
    ],
    "b": [(1, Box(offset: [7], shape: [3])), (0, Box(offset: [0], shape: [7]))],
    "s": [(1, Box([]))],
  ]

  /// Writes the files of two ranks, and a manifest that `change` may falsify.
  private func write(_ change: (inout Manifest) -> Void = { _ in }) throws {
    var files: [Manifest.File] = []
    var slices: [String: [Manifest.Slice]] = [:]
    for rank in 0..<2 {
      let name = Manifest.fileName(rank: rank, of: 2)
      var records: [TensorRecord] = []
      var data: [String: [UInt8]] = [:]
      for tensor in Self.tensors {
        for (index, place) in Self.boxes[tensor.name]!.enumerated() where place.rank == rank {
          let key = "\(tensor.name).\(index)"
          records.append(TensorRecord(name: key, type: tensor.type, shape: place.box.shape))
          data[key] = part(tensor, place.box)
          slices[tensor.name, default: []].append(Manifest.Slice(box: place.box, file: name, key: key))
        }
      }
      let digest = try SafetensorsWriter(records).write(to: scratch.file(name)) {
        (key, put) throws(CheckpointError) in
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: data[key]!.count, alignment: 8)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: data[key]!)
        try put(UnsafeRawBufferPointer(buffer))
      }
      files.append(Manifest.File(name: name, digest: digest))
    }
    var manifest = Manifest(
      configuration: "", step: 1, tokens: 2, nextSample: 3, state: [:], files: files,
      tensors: Self.tensors.map { Manifest.Tensor($0, slices: slices[$0.name]!) })
    change(&manifest)
    _ = try scratch.write(manifest.text(), as: Manifest.fileName)
  }

  private func copy(_ checkpoint: StoredCheckpoint, _ name: String, _ box: Box) throws -> [UInt8] {
    let record = try checkpoint.entry(name)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: box.count * record.type.width, alignment: 8)
    defer { buffer.deallocate() }
    buffer.initializeMemory(as: UInt8.self, repeating: 0xee)
    try checkpoint.copy(name, region: box, to: buffer)
    return Array(buffer)
  }

  @Test func slicesArePutTogether() throws {
    try write()
    let checkpoint = try StoredCheckpoint(scratch.path)
    for record in Self.tensors {
      #expect(try copy(checkpoint, record.name, Box(record.shape)) == content(record), "\(record.name)")
    }
    #expect(try Array(checkpoint.bytes("s")) == content(Self.tensors[2]))
    let error = try #require(throws: CheckpointError.self) { _ = try checkpoint.bytes("w") }
    #expect(error.kind == .unsupported && error.message.contains("4 slices"))
    #expect(try #require(throws: CheckpointError.self) { _ = try checkpoint.entry("x") }.kind == .missing)
  }

  @Test func anyRegionIsCopied() throws {
    try write()
    let checkpoint = try StoredCheckpoint(scratch.path)
    var random = Mutations(state: 3)
    for _ in 0..<300 {
      var box = Box(Self.tensors[0].shape)
      for dimension in 0..<3 {
        let extent = box.shape[dimension]
        box.offset[dimension] = Int.random(in: 0..<extent, using: &random)
        box.shape[dimension] = Int.random(in: 0...extent - box.offset[dimension], using: &random)
      }
      #expect(try copy(checkpoint, "w", box) == part(Self.tensors[0], box), "\(box)")
    }
  }

  /// A manifest that is consistent in itself, but not with the files.
  @Test func disagreementWithTheFilesIsRefused() throws {
    func refusal(_ change: (inout Manifest) -> Void) throws -> CheckpointError {
      for rank in 0..<2 {
        try? FileManager.default.removeItem(atPath: scratch.file(Manifest.fileName(rank: rank, of: 2)))
      }
      try write(change)
      return try #require(throws: CheckpointError.self) { _ = try StoredCheckpoint(scratch.path) }
    }
    let wrongType = try refusal { manifest in
      let old = manifest.tensors[1]
      let record = TensorRecord(name: "b", type: .int32, shape: old.record.shape)
      manifest.tensors[1] = Manifest.Tensor(record, slices: old.slices)
    }
    #expect(wrongType.message.contains("F32 [7], the manifest says I32 [7]"), "\(wrongType)")
    let wrongKey = try refusal { manifest in
      let slice = manifest.tensors[2].slices[0]
      let other = Manifest.Slice(box: slice.box, file: slice.file, key: "t")
      manifest.tensors[2] = Manifest.Tensor(manifest.tensors[2].record, slices: [other])
    }
    #expect(wrongKey.kind == .missing && wrongKey.message.contains("\"t\""), "\(wrongKey)")
    let unused = try refusal { $0.tensors.removeLast() }
    #expect(unused.message.contains("holds 4 tensors, the manifest uses 3"), "\(unused)")
    let wrongHash = try refusal { manifest in
      let file = manifest.files[1]
      let digest = FileDigest(length: file.digest.length, sha256: manifest.files[0].digest.sha256)
      manifest.files[1] = Manifest.File(name: file.name, digest: digest)
    }
    #expect(wrongHash.kind == .damaged && wrongHash.path.hasSuffix("rank-00001-of-00002.safetensors"))
  }

  @Test func withoutHashingOnlyLengthsAreCompared() throws {
    try write { manifest in
      let file = manifest.files[1]
      let digest = FileDigest(length: file.digest.length, sha256: manifest.files[0].digest.sha256)
      manifest.files[1] = Manifest.File(name: file.name, digest: digest)
    }
    #expect(try StoredCheckpoint(scratch.path, hashing: .none).names == ["w", "b", "s"])
    #expect(throws: CheckpointError.self) { _ = try StoredCheckpoint(scratch.path) }
  }
}
