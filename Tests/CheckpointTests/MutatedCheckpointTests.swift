import Checkpoint
import Foundation
import Tensors
import Testing

/// Checkpoints of several files with manifests and headers that somebody or something has changed.
struct MutatedCheckpointTests {
  private static let ranks = 3

  private func sample(_ scratch: Scratch) throws -> String {
    let store = CheckpointStore(directory: scratch.path)
    let saves = try ShardedSaveTests.saves(Array(repeating: store, count: Self.ranks), step: 5)
    _ = try saves[0].begin()
    return try saves[0].commit(saves.map { try $0.write(ShardedSaveTests.elements) }).path
  }

  /// Whatever opens is consistent, and every element can be read; all else is refused with words.
  ///
  /// - Parameter isLoaded: also as a run does it.
  private func refusal(_ path: String, isLoaded: Bool) throws -> CheckpointError? {
    let device = try Device(threads: 1)
    do throws(CheckpointError) {
      let checkpoint = try StoredCheckpoint(path, hashing: .none)
      for name in checkpoint.names {
        let record = try checkpoint.entry(name)
        // A file of a few hundred bytes cannot hold more.
        #expect(record.byteCount < 10_000, "\(record)")
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: record.byteCount, alignment: 8)
        defer { buffer.deallocate() }
        try checkpoint.read(name, elements: 0..<record.elementCount, to: buffer)
        guard isLoaded, record.type == .float32 || record.type == .bfloat16 else { continue }
        let tensor = Tensor(record.shape, record.type == .float32 ? .float32 : .bfloat16, on: device)
        try checkpoint.load(into: [TensorPiece(NamedTensor(name: name, tensor: tensor))], hashing: .none)
        #expect(tensor.bytes.elementsEqual(buffer))
      }
      return nil
    } catch { return error }
  }

  /// The seal is made to fit again, so that what is behind it is tested.
  @Test func manifests() throws {
    let scratch = try Scratch()
    let path = try sample(scratch)
    let file = "\(path)/\(Manifest.fileName)"
    let lines = String(decoding: try readBytes(file), as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false)
    let body = Array((lines.dropLast(3).joined(separator: "\n") + "\n").utf8)
    var mutations = Mutations(state: 21)
    var refused = 0
    for number in 0..<5000 {
      _ = try scratch.write(
        Manifest.sealed(mutations.mutate(body, limit: body.count)), as: "step-5/manifest.json")
      guard let error = try refusal(path, isLoaded: number % 10 == 0) else { continue }
      refused += 1
      #expect(error.path.hasPrefix(path) && !error.message.isEmpty)
    }
    #expect(refused > 4000, "\(refused)")
  }

  /// Bytes are replaced, so that the length is as the manifest says: what a disk does that loses a block.
  @Test func headersOfFiles() throws {
    let scratch = try Scratch()
    let path = try sample(scratch)
    let names = (0..<Self.ranks).map { Manifest.fileName(rank: $0, of: Self.ranks) }
    let originals = try names.map { try readBytes("\(path)/\($0)") }
    var random = Mutations(state: 22)
    var refused = 0
    for number in 0..<5000 {
      let rank = number % Self.ranks
      var bytes = originals[rank]
      let header = 8 + bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let place = Int.random(in: 0..<(Bool.random(using: &random) ? 8 : header), using: &random)
        bytes[place] = "0123456789-.e\"[]{},: ".utf8.randomElement(using: &random)!
        if Bool.random(using: &random) { bytes[place] = .random(in: 0...255, using: &random) }
      }
      _ = try scratch.write(bytes, as: "step-5/\(names[rank])")
      let error = try refusal(path, isLoaded: number / Self.ranks % 10 == 0)
      if let error {
        refused += 1
        #expect(error.path.hasSuffix(names[rank]) && !error.message.isEmpty, "\(error)")
      } else {
        // Spaces for spaces, and digits of what the manifest does not say.
        let isWhole = StoredCheckpoint.faults(in: path).isEmpty
        #expect(isWhole == (bytes == originals[rank]))
      }
      _ = try scratch.write(originals[rank], as: "step-5/\(names[rank])")
    }
    #expect(refused > 4500, "\(refused)")
  }
}
