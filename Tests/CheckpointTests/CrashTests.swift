import Checkpoint
import Foundation
import Testing

/// A save that is stopped or fails at each of its operations.
@Suite struct CrashTests {
  /// Operations of the save that a test cuts off: `keep` 2, and a step that may exist already.
  private static func operations(replacing: Bool) throws -> [String] {
    let (_, directory, scratch) = try prepared()
    let fileSystem = FaultyFileSystem()
    let store = CheckpointStore(directory: directory, keep: 2, fileSystem: fileSystem)
    _ = try store.save(SampleCheckpoint.contents(step: replacing ? 20 : 30, run: 1))
    withExtendedLifetime(scratch) {}
    return fileSystem.operations
  }

  /// A store with steps 10 and 20.
  private static func prepared() throws -> (CheckpointStore, String, Scratch) {
    let scratch = try Scratch()
    let store = CheckpointStore(directory: scratch.path, fileSystem: FaultyFileSystem())
    for step in [10, 20] { _ = try store.save(SampleCheckpoint.contents(step: step)) }
    return (store, scratch.path, scratch)
  }

  /// Opens what a new process would find, and requires the checkpoint before or after the save.
  private func expectWhole(_ store: CheckpointStore, step: Int, replacing: Bool, note: String) throws -> Bool
  {
    let (found, rejected) = try store.openNewestValid()
    #expect(rejected.isEmpty, "\(note): \(rejected)")
    let checkpoint = try #require(found, "\(note)")
    let isNew = checkpoint.manifest.state["run"] == .integer(1)
    try SampleCheckpoint.expect(checkpoint, step: isNew || replacing ? step : 20, run: isNew ? 1 : 0)
    // `latest` always names something that is whole, never what is not there yet.
    let latest = try store.open(.latest)
    #expect(latest.manifest.step <= checkpoint.manifest.step, "\(note)")
    return isNew
  }

  @Test(arguments: [false, true])
  func killedAtEveryOperation(replacing: Bool) throws {
    let operations = try Self.operations(replacing: replacing)
    #expect(operations.count > 20, "\(operations)")
    let step = replacing ? 20 : 30
    var newSeen = 0
    for number in operations.indices {
      let note = "killed at \(number), \(operations[number])"
      let (store, directory, scratch) = try Self.prepared()
      let dying = CheckpointStore(
        directory: directory, keep: 2, fileSystem: FaultyFileSystem(.killed(at: number)))
      _ = try? dying.save(SampleCheckpoint.contents(step: step, run: 1))
      if try expectWhole(store, step: step, replacing: replacing, note: note) { newSeen += 1 }
      // The next run saves as if nothing had been, and leaves no remains.
      let next = CheckpointStore(directory: directory, keep: 2, fileSystem: FaultyFileSystem())
      #expect(try next.save(SampleCheckpoint.contents(step: 40, run: 2)).leftovers.isEmpty, "\(note)")
      try SampleCheckpoint.expect(next.open(), step: 40, run: 2)
      #expect(
        !scratch.contents.contains { $0.hasPrefix(".") || $0.contains("/.") }, "\(note): \(scratch.contents)")
      #expect(try next.list().count == 2, "\(note)")
    }
    #expect(newSeen > 3 && newSeen < operations.count, "\(newSeen)")
  }

  @Test func everythingIsOnTheDiskBeforeItIsNamed() throws {
    let operations = try Self.operations(replacing: false)
    func place(_ operation: String) throws -> Int {
      try #require(operations.firstIndex(of: operation), "\(operation) is not in \(operations)")
    }
    let renamed = try place("rename .step-30.partial")
    let last = try #require(operations[..<renamed].lastIndex { $0.hasPrefix("write") })
    for file in ["rank-00000-of-00001.safetensors", "manifest.json"] {
      #expect(try place("write \(file)") < place("fsync \(file)"))
      #expect(try place("fsync \(file)") < renamed)
    }
    #expect(try last < place("fsync .step-30.partial"))
    #expect(try place("fsync .step-30.partial") < renamed)
    let rest = operations[(renamed + 1)...]
    #expect(rest.first?.hasPrefix("fsync hadal-") == true)
    #expect(try place("fsync .latest.partial") < place("rename .latest.partial"))
    #expect(try place("rename .latest.partial") < place("rename step-10"))
    #expect(try place("rename step-10") < place("rmdir .step-10.discarded"))
  }

  @Test(arguments: [ENOSPC, EIO, EROFS, EACCES, EDQUOT])
  func failingAtEveryOperation(code: Int32) throws {
    let operations = try Self.operations(replacing: false)
    let published = try #require(operations.firstIndex(of: "rename .step-30.partial"))
    let durable = try #require(operations.firstIndex(of: "rename .latest.partial")) + 1
    for number in operations.indices {
      let note = "failed at \(number), \(operations[number])"
      let (store, directory, scratch) = try Self.prepared()
      let failing = CheckpointStore(
        directory: directory, keep: 2, fileSystem: FaultyFileSystem(.failing(at: number, code)))
      do throws(CheckpointError) {
        let saved = try failing.save(SampleCheckpoint.contents(step: 30, run: 1))
        #expect(number > durable, "\(note)")
        #expect(saved.leftovers.map(\.kind) == [.system(code)], "\(note)")
      } catch {
        #expect(number <= durable, "\(note)")
        #expect(error.kind == .system(code), "\(note)")
        #expect(error.message.contains(String(cString: strerror(code))), "\(error)")
        #expect(error.path.hasPrefix(directory))
        #expect(
          error.message.contains(number <= published ? "was not saved" : "itself is complete"), "\(error)")
        if number <= published {
          #expect(!scratch.contents.contains { $0.contains("step-30") }, "\(note): \(scratch.contents)")
        }
      }
      let isNew = try expectWhole(store, step: 30, replacing: false, note: note)
      #expect(isNew == (number > published), "\(note)")
    }
  }
}
