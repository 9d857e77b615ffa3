import Checkpoint
import Foundation
import Testing

/// Directories that appear whole or not at all, and the weights that are written into them.
struct StagedDirectoryTests {
  private let scratch: Scratch

  private static let records = [
    TensorRecord(name: "a", type: .float32, shape: [3, 5]),
    TensorRecord(name: "bb", type: .bfloat16, shape: [40]),
    TensorRecord(name: "ccc", type: .float32, shape: [2]),
    TensorRecord(name: "dddd", type: .float32, shape: [100]),
  ]

  init() throws { scratch = try Scratch() }

  private func fill(_ fileSystem: some FileSystem) throws(CheckpointError) {
    let directory = try StagedDirectory(scratch.file("made"), fileSystem: fileSystem)
    try directory.fill { (staging) throws(CheckpointError) in
      try fileSystem.makeDirectory("\(staging)/inner")
      try fileSystem.createDurably("\(staging)/inner/file", [1, 2, 3])
      try HuggingFaceWriter(Self.records, shardBytes: 100).write(
        to: staging, on: fileSystem, bytes: contentProvider(Self.records))
    }
  }

  private func expectWhole() throws {
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["made"])
    #expect(try readBytes(scratch.file("made/inner/file")) == [1, 2, 3])
    let directory = try HuggingFaceDirectory(scratch.file("made"))
    for record in Self.records {
      #expect(try directory.entry(record.name) == record)
      #expect(try Array(directory.bytes(record.name)) == content(record))
    }
  }

  /// 60, 80 and 8, 400 bytes: each file has at most 100, or one tensor.
  @Test func shardsHaveAnIndex() throws {
    try fill(PosixFileSystem())
    try expectWhole()
    let text = try readBytes(scratch.file("made/model.safetensors.index.json"))
    let index = try #require(try JSONSerialization.jsonObject(with: Data(text)) as? [String: [String: Any]])
    #expect(index["metadata"]?["total_size"] as? Int == 548)
    let shards = (1...3).map { "model-0000\($0)-of-00003.safetensors" }
    #expect(
      index["weight_map"] as? [String: String] == [
        "a": shards[0], "bb": shards[1], "ccc": shards[1], "dddd": shards[2],
      ])
    #expect(try SafetensorsFile(scratch.file("made/\(shards[0])")).metadata == ["format": "pt"])
  }

  @Test func aSmallModelIsOneFile() throws {
    let writer = HuggingFaceWriter(Self.records)
    #expect(writer.fileNames == ["model.safetensors"] && writer.byteCount == 548)
    try writer.write(to: scratch.path, bytes: contentProvider(Self.records))
    #expect(scratch.contents == ["model.safetensors"])
  }

  @Test func anEmptyDirectoryIsFilled() throws {
    try FileManager.default.createDirectory(atPath: scratch.file("made"), withIntermediateDirectories: false)
    try fill(PosixFileSystem())
    try expectWhole()
  }

  /// Whichever system call fails, the directory is whole or absent; the next attempt succeeds.
  @Test func failuresLeaveNothing() throws {
    let whole = FaultyFileSystem()
    try fill(whole)
    let count = whole.operations.count
    #expect(count > 20)
    for operation in 0..<count {
      try FileManager.default.removeItem(atPath: scratch.file("made"))
      let error = try #require(throws: CheckpointError.self) {
        try fill(FaultyFileSystem(.failing(at: operation, EIO)))
      }
      // The last operation brings the name to the disk: by then it is there.
      if operation < count - 1 {
        #expect(scratch.contents == [], "\(whole.operations[operation]): \(scratch.contents)")
        #expect(error.message.contains("made was not made, nothing of it is left"), "\(error)")
        try fill(PosixFileSystem())
      }
      try expectWhole()
    }
  }

  @Test func aKilledAttemptIsClearedByTheNext() throws {
    let whole = FaultyFileSystem()
    try fill(whole)
    for operation in 0..<whole.operations.count - 1 {
      try FileManager.default.removeItem(atPath: scratch.file("made"))
      #expect(throws: CheckpointError.self) { try fill(FaultyFileSystem(.killed(at: operation))) }
      #expect(!FileManager.default.fileExists(atPath: scratch.file("made")))
      try fill(PosixFileSystem())
      try expectWhole()
    }
  }

  @Test func aFullDiskIsSaid() throws {
    let error = try #require(throws: CheckpointError.self) { try fill(FaultyFileSystem(.full(from: 8))) }
    #expect(error.kind == .system(ENOSPC))
    for part in ["No space left", "548 bytes are needed", "free", "nothing of it is left"] {
      #expect(error.message.contains(part), "\(error.message) does not contain \(part)")
    }
    #expect(scratch.contents == [])
  }

  @Test func targetsThatCannotBeAreRefused() throws {
    let file = try scratch.write([1], as: "file")
    try FileManager.default.createDirectory(
      atPath: scratch.file("full/inner"), withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: scratch.file("link"), withDestinationPath: scratch.file("full/inner"))
    let cases = [
      (file, "no directory"), (scratch.file("full"), "not empty (inner)"),
      (scratch.file("link"), "no directory"),
      (scratch.file("none/made"), "make it first"), (scratch.file("."), "name the directory"),
      ("/", "name the directory"),
    ]
    for (path, word) in cases {
      let error = try #require(throws: CheckpointError.self) { _ = try StagedDirectory(path) }
      #expect(error.path == path && error.message.contains(word), "\(error)")
    }
  }
}
