import Checkpoint
import Foundation
import Testing

@Suite struct CheckpointStoreTests {
  private let scratch: Scratch
  private let store: CheckpointStore

  init() throws {
    scratch = try Scratch()
    store = CheckpointStore(directory: scratch.file("run/checkpoints/"), keep: nil)
  }

  @Test func savesAndOpens() throws {
    let saved = try store.save(SampleCheckpoint.contents(step: 12))
    #expect(saved.path == scratch.file("run/checkpoints/step-12"))
    #expect(saved.discarded.isEmpty && saved.leftovers.isEmpty)
    let checkpoint = try store.open()
    try SampleCheckpoint.expect(checkpoint, step: 12)
    let manifest = checkpoint.manifest
    #expect(manifest.configuration == SampleCheckpoint.contents(step: 12).information.configuration)
    #expect(manifest.tokens == 12_000 && manifest.nextSample == 96)
    #expect(manifest.state["best_loss"] == .number(2.5) && manifest.state["name"] == .string("sample"))
    #expect(manifest.files.map(\.name) == ["rank-00000-of-00001.safetensors"])

    let names = ["manifest.json", "rank-00000-of-00001.safetensors"]
    #expect(try FileManager.default.contentsOfDirectory(atPath: saved.path).sorted() == names)
    let length = try names.reduce(0) { try $0 + readBytes("\(saved.path)/\($1)").count }
    #expect(saved.length == length)
    #expect(
      String(decoding: try readBytes(scratch.file("run/checkpoints/latest")), as: UTF8.self) == "step-12\n")
    try SampleCheckpoint.expect(store.open(.step(12)), step: 12)
    try SampleCheckpoint.expect(store.open(.path(saved.path)), step: 12)
  }

  @Test func stepsAreOrderedAsNumbers() throws {
    for step in [9, 100, 10] { _ = try store.save(SampleCheckpoint.contents(step: step)) }
    #expect(try store.list().map(\.step) == [100, 10, 9])
    #expect(try store.open().manifest.step == 10)  // the last one saved
    #expect(try store.openNewestValid().checkpoint?.manifest.step == 100)
  }

  @Test func emptyStore() throws {
    #expect(try store.list().isEmpty)
    let (checkpoint, rejected) = try store.openNewestValid()
    #expect(checkpoint == nil && rejected.isEmpty)
    #expect(try #require(throws: CheckpointError.self) { _ = try store.open() }.kind == .missing)
    let error = try #require(throws: CheckpointError.self) { _ = try store.open(.step(3)) }
    #expect(error.message.contains("step-3") && error.message.contains("none"))
  }

  @Test func retentionKeepsTheNewest() throws {
    let store = CheckpointStore(directory: store.directory, keep: 2)
    for step in [8, 9, 10] { _ = try store.save(SampleCheckpoint.contents(step: step)) }
    #expect(try store.list().map(\.step) == [10, 9])
    // Neither what has no manifest nor what is not ours counts or goes.
    try FileManager.default.createDirectory(
      atPath: "\(store.directory)/step-11", withIntermediateDirectories: false)
    try FileManager.default.createDirectory(
      atPath: "\(store.directory)/step-07", withIntermediateDirectories: false)
    let saved = try store.save(SampleCheckpoint.contents(step: 12))
    #expect(saved.discarded == [9])
    #expect(try store.list().map(\.step) == [12, 11, 10])
    #expect(FileManager.default.fileExists(atPath: "\(store.directory)/step-07"))
  }

  @Test func retentionKeepsWhatWasJustSaved() throws {
    for step in [20, 30] { _ = try store.save(SampleCheckpoint.contents(step: step)) }
    let store = CheckpointStore(directory: store.directory, keep: 1)
    #expect(try store.save(SampleCheckpoint.contents(step: 10)).discarded == [30, 20])
    try SampleCheckpoint.expect(store.open(), step: 10)
  }

  @Test func savingAStepAgainReplacesIt() throws {
    _ = try store.save(SampleCheckpoint.contents(step: 5, run: 1))
    _ = try store.save(SampleCheckpoint.contents(step: 5, run: 2))
    try SampleCheckpoint.expect(store.open(), step: 5, run: 2)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: store.directory).sorted() == ["latest", "step-5"])
  }

  @Test func newestValidFallsBackAndSaysWhy() throws {
    for step in 1...4 { _ = try store.save(SampleCheckpoint.contents(step: step)) }
    let file = "rank-00000-of-00001.safetensors"
    var bytes = try readBytes("\(store.directory)/step-4/\(file)")
    bytes[bytes.count - 3] ^= 4
    try Data(bytes).write(to: URL(fileURLWithPath: "\(store.directory)/step-4/\(file)"))
    try FileManager.default.removeItem(atPath: "\(store.directory)/step-3/\(file)")
    truncate("\(store.directory)/step-2/manifest.json", 100)

    let (checkpoint, rejected) = try store.openNewestValid()
    try SampleCheckpoint.expect(#require(checkpoint), step: 1)
    #expect(rejected.map(\.kind) == [.damaged, .missing, .damaged])
    #expect(
      rejected.map(\.path) == [
        "\(store.directory)/step-4/\(file)", "\(store.directory)/step-3/\(file)",
        "\(store.directory)/step-2/manifest.json",
      ])
    // The list reads no tensors, so it does not see the flipped bit.
    #expect(try store.list().map { (try? $0.manifest.get()) != nil } == [true, false, false, true])
  }

  @Test func damageIsNamed() throws {
    _ = try store.save(SampleCheckpoint.contents(step: 1))
    let path = "\(store.directory)/step-1/rank-00000-of-00001.safetensors"
    let whole = try readBytes(path)
    for place in stride(from: 0, to: whole.count, by: 13) {
      var bytes = whole
      bytes[place] ^= 1
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let error = try #require(throws: CheckpointError.self) { _ = try store.open() }
      #expect(error.kind == .damaged && error.path == path && error.message.contains("SHA-256"))
    }
    try Data(whole.dropLast()).write(to: URL(fileURLWithPath: path))
    let error = try #require(throws: CheckpointError.self) { _ = try store.open() }
    #expect(error.path == path && error.message.contains("is \(whole.count - 1) bytes long"))
  }

  @Test func renamedCheckpointIsRefused() throws {
    let saved = try store.save(SampleCheckpoint.contents(step: 1))
    try FileManager.default.moveItem(atPath: saved.path, toPath: "\(store.directory)/step-2")
    #expect(try store.openNewestValid().rejected.first?.message.contains("step 1") == true)
    try SampleCheckpoint.expect(store.open(.path("\(store.directory)/step-2")), step: 1)
  }

  @Test(arguments: [
    "", "step-1", "step-01\n", "step-1\nstep-2\n", "../step-1\n", ".step-1.partial\n", "step--1\n",
  ])
  func brokenLatestIsRefused(text: String) throws {
    _ = try store.save(SampleCheckpoint.contents(step: 1))
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(store.directory)/latest"))
    let error = try #require(throws: CheckpointError.self) { _ = try store.open() }
    #expect(error.kind == .malformed && error.path == "\(store.directory)/latest")
  }

  @Test func stateThatJSONCannotHoldIsRefused() throws {
    var contents = SampleCheckpoint.contents(step: 1)
    contents.information.state["loss"] = .number(.nan)
    let error = try #require(throws: CheckpointError.self) { _ = try store.save(contents) }
    #expect(error.message.contains("\"loss\""))
    #expect(try FileManager.default.contentsOfDirectory(atPath: store.directory).isEmpty)
  }
}
