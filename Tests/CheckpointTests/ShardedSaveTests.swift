import Checkpoint
import Foundation
import Testing

/// Saves of several ranks, whose parts are done here one after the other.
struct ShardedSaveTests {
  private let scratch: Scratch
  private static let tensors = [
    TensorRecord(name: "w", type: .float32, shape: [7, 6]),
    TensorRecord(name: "b", type: .bfloat16, shape: [9]),
    TensorRecord(name: "bias", type: .float32, shape: [4]),
  ]

  init() throws { scratch = try Scratch() }

  private var store: CheckpointStore { Self.store(scratch.file("checkpoints")) }

  /// Nobody pulls the plug here, and hundreds of real fsyncs take long.
  private static func store(_ directory: String) -> CheckpointStore {
    CheckpointStore(directory: directory, keep: 1, fileSystem: FaultyFileSystem())
  }

  /// Thirds of each tensor, and copies of the last one.
  static func plan(ranks: Int) -> ShardPlan {
    ShardPlan(
      (0..<ranks).map { rank in
        tensors.map { tensor in
          let count = tensor.elementCount
          return tensor.name == "bias"
            ? .init(tensor) : .init(tensor, count * rank / ranks..<count * (rank + 1) / ranks)
        }
      })
  }

  static func saves(_ stores: [CheckpointStore], step: Int) throws -> [ShardedSave] {
    let information = CheckpointInformation(configuration: "", step: step, tokens: 0, nextSample: 0)
    return try stores.enumerated().map { rank, store in
      try ShardedSave(store, information, plan(ranks: stores.count), rank: rank)
    }
  }

  static func elements(
    _ slice: ShardPlan.Slice, _ write: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    let tensor = tensors.first { $0.name == slice.name }!
    let start = slice.elements.lowerBound * tensor.type.width
    let bytes = Array(content(tensor)[start..<start + slice.record.byteCount])
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
    defer { buffer.deallocate() }
    buffer.copyBytes(from: bytes)
    try write(UnsafeRawBufferPointer(buffer))
  }

  private func save(ranks: Int, step: Int) throws -> SavedCheckpoint {
    let saves = try Self.saves(Array(repeating: store, count: ranks), step: step)
    let mark = try saves[0].begin()
    for save in saves.dropFirst() { try save.join(mark) }
    return try saves[0].commit(saves.reversed().map { try $0.write(Self.elements) }.reversed())
  }

  @Test(arguments: [1, 2, 3, 8, 50])
  func everyRankWritesItsPart(ranks: Int) throws {
    let saved = try save(ranks: ranks, step: 5)
    let files = (0..<ranks).map { Manifest.fileName(rank: $0, of: ranks) }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: saved.path).sorted() == ["manifest.json"] + files)
    let checkpoint = try store.open()
    #expect(checkpoint.manifest.files.map(\.name) == files)
    for tensor in Self.tensors {
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: tensor.byteCount, alignment: 8)
      defer { buffer.deallocate() }
      try checkpoint.copy(tensor.name, to: buffer)
      #expect(Array(buffer) == content(tensor))
      // Any run of elements, from whichever slices hold them.
      let width = tensor.type.width
      for start in 0..<tensor.elementCount {
        let part = start..<min(start + 11, tensor.elementCount)
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(part.count * width)])
        try checkpoint.read(tensor.name, elements: part, to: target)
        #expect(Array(target) == Array(content(tensor)[start * width..<part.upperBound * width]))
      }
    }
  }

  /// Shares of the hashing find what all of it finds, each in its own files.
  @Test func damageIsFoundByTheRankThatHashesTheFile() throws {
    let path = try save(ranks: 3, step: 5).path
    let file = "\(path)/\(Manifest.fileName(rank: 2, of: 3))"
    var bytes = try readBytes(file)
    bytes[bytes.count - 1] ^= 1
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    for rank in 0..<2 {
      let found = rank == 0
      let open = { try StoredCheckpoint(path, hashing: .share(rank: rank, of: 2)) }
      guard found else {
        _ = try open()
        continue
      }
      let error = try #require(throws: CheckpointError.self) { _ = try open() }
      #expect(error.kind == .damaged && error.path == file)
    }
  }

  @Test func aDirectoryThatIsNotSharedIsRefused() throws {
    let other = CheckpointStore(directory: scratch.file("other"))
    let saves = try Self.saves([store, other], step: 5)
    let mark = try saves[0].begin()
    let error = try #require(throws: CheckpointError.self) { try saves[1].join(mark) }
    #expect(error.message.contains("does not see the directory that rank 0 has made"), "\(error)")
    // One of the same name, such as an earlier save has left on a node's own disk.
    _ = try Self.saves([other, other], step: 5)[0].begin()
    #expect(throws: CheckpointError.self) { try saves[1].join(mark) }
    #expect(saves[0].abandoned(because: error).message.contains("step-5 was not saved, nothing is left"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: store.directory) == [])
  }

  /// A file that did not arrive, or only half of it, keeps the checkpoint from coming into being.
  @Test(arguments: [false, true])
  func aMissingFileIsNotCommitted(isCut: Bool) throws {
    _ = try save(ranks: 2, step: 4)
    let saves = try Self.saves([store, store], step: 5)
    let mark = try saves[0].begin()
    try saves[1].join(mark)
    let digests = try saves.map { try $0.write(Self.elements) }
    let file = "\(store.directory)/.step-5.partial/\(Manifest.fileName(rank: 1, of: 2))"
    if isCut { truncate(file, 100) } else { unlink(file) }
    let error = try #require(throws: CheckpointError.self) { _ = try saves[0].commit(digests) }
    #expect(error.path == file && error.message.contains("step-5 was not saved, nothing is left"), "\(error)")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: store.directory).sorted() == ["latest", "step-4"])
    #expect(try store.open().manifest.step == 4)
  }

  /// Killed at each operation of each rank: what was there before is still there, and the next save clears up.
  @Test func killedAtEveryOperation() throws {
    let counting = FaultyFileSystem()
    let all = CheckpointStore(directory: scratch.file("count"), keep: 1, fileSystem: counting)
    try Self.run(Self.saves([all, all], step: 5))
    var newSeen = 0
    for number in counting.operations.indices {
      let directory = scratch.file("killed-\(number)")
      _ = try Self.run(Self.saves(Array(repeating: Self.store(directory), count: 3), step: 4))
      let dying = FaultyFileSystem(.killed(at: number))
      let killed = CheckpointStore(directory: directory, keep: 1, fileSystem: dying)
      try? Self.run(Self.saves([killed, killed], step: 5))
      let (found, rejected) = try CheckpointStore(directory: directory).openNewestValid()
      #expect(rejected.isEmpty, "\(number): \(rejected)")
      let step = try #require(found).manifest.step
      if step == 5 { newSeen += 1 } else { #expect(step == 4) }
      let next = Self.store(directory)
      try Self.run(Self.saves([next, next], step: 6))
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == ["latest", "step-6"],
        "\(number)")
    }
    #expect(newSeen > 3 && newSeen < counting.operations.count, "\(newSeen) of \(counting.operations)")
  }

  private static func run(_ saves: [ShardedSave]) throws {
    let mark = try saves[0].begin()
    for save in saves.dropFirst() { try save.join(mark) }
    _ = try saves[0].commit(saves.map { try $0.write(elements) })
  }
}
