import Checkpoint
import Foundation
import Testing

@Suite struct FullDiskTests {
  private let scratch: Scratch

  init() throws {
    scratch = try Scratch()
    _ = try CheckpointStore(directory: scratch.path).save(SampleCheckpoint.contents(step: 1))
  }

  private func expectFull(_ fileSystem: some FileSystem) throws {
    let store = CheckpointStore(directory: scratch.path, keep: 1, fileSystem: fileSystem)
    let error = try #require(throws: CheckpointError.self) {
      _ = try store.save(SampleCheckpoint.contents(step: 2))
    }
    #expect(error.kind == .system(ENOSPC))
    #expect(error.path.hasPrefix("\(scratch.path)/.step-2.partial"))
    let needed = try SafetensorsWriter(SampleCheckpoint.tensors).fileLength
    for part in [
      "No space left", "step-2 was not saved", "nothing is left", "untouched", "\(needed) bytes", "free",
    ] {
      #expect(error.message.contains(part), "\(error.message) does not contain \(part)")
    }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted() == ["latest", "step-1"])
    try SampleCheckpoint.expect(store.open(), step: 1)
  }

  /// Whatever runs out of space first: the directory, a file, its bytes.
  @Test(arguments: 0..<4)
  func fullDisk(from operation: Int) throws { try expectFull(FaultyFileSystem(.full(from: operation))) }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/dev/full")))
  func fullDevice() throws { try expectFull(FullDevice()) }

  @Test func shortWritesAreContinued() throws {
    let store = CheckpointStore(directory: scratch.path, fileSystem: FaultyFileSystem(.shortWrites(7)))
    _ = try store.save(SampleCheckpoint.contents(step: 2))
    try SampleCheckpoint.expect(store.open(), step: 2)
  }

  @Test func whatCannotBeRemovedIsSaid() throws {
    struct Stuck: FileSystem {
      let full = FaultyFileSystem(.full(from: 2))
      func makeDirectory(_ path: String) throws(CheckpointError) { try full.makeDirectory(path) }
      func create(_ path: String) throws(CheckpointError) -> OpenFile { try full.create(path) }
      func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile) throws(CheckpointError) -> Int {
        try full.write(bytes, to: file)
      }
      func synchronize(_ file: OpenFile) throws(CheckpointError) { try full.synchronize(file) }
      func close(_ file: OpenFile) throws(CheckpointError) { try full.close(file) }
      func rename(_ path: String, to newPath: String) throws(CheckpointError) {
        try full.rename(path, to: newPath)
      }
      func synchronizeDirectory(_ path: String) throws(CheckpointError) {
        try full.synchronizeDirectory(path)
      }
      func removeFile(_ path: String) throws(CheckpointError) {
        throw CheckpointError(.system(EPERM), path: path, "cannot remove")
      }
      func removeDirectory(_ path: String) throws(CheckpointError) { try full.removeDirectory(path) }
    }
    let store = CheckpointStore(directory: scratch.path, fileSystem: Stuck())
    let error = try #require(throws: CheckpointError.self) {
      _ = try store.save(SampleCheckpoint.contents(step: 2))
    }
    #expect(error.message.contains("could not be removed") && !error.message.contains("nothing is left"))
    // The remains are no checkpoint, and the next save clears them.
    #expect(try store.list().map(\.step) == [1])
    _ = try CheckpointStore(directory: scratch.path).save(SampleCheckpoint.contents(step: 3))
    #expect(!scratch.contents.contains { $0.contains("partial") })
  }

  @Test func storeInPlaceOfAFileIsRefused() throws {
    let store = CheckpointStore(directory: try scratch.write([1], as: "taken"))
    let error = try #require(throws: CheckpointError.self) {
      _ = try store.save(SampleCheckpoint.contents(step: 2))
    }
    #expect(error.kind == .system(ENOTDIR))
  }
}
