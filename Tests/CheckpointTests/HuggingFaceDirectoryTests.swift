import Checkpoint
import Foundation
import Testing

@Suite struct HuggingFaceDirectoryTests {
  private let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func write(_ file: String, _ names: [String]) throws {
    let records = names.map { TensorRecord(name: $0, type: .float32, shape: [2, 3]) }
    try SafetensorsWriter(records).write(to: scratch.file(file), bytes: contentProvider(records))
  }

  private func writeIndex(_ map: String) throws {
    let text =
      "{\"metadata\": {\"total_size\": 1, \"x\": [null, true, {\"y\": -1.5e3}]}, \"weight_map\": {\(map)}}"
    _ = try scratch.write(Array(text.utf8), as: "model.safetensors.index.json")
  }

  private func refusal() throws -> CheckpointError {
    try #require(throws: CheckpointError.self) { _ = try HuggingFaceDirectory(scratch.path) }
  }

  @Test func oneFile() throws {
    try write("model.safetensors", ["a", "bb"])
    let directory = try HuggingFaceDirectory(scratch.path)
    #expect(directory.names == ["a", "bb"])
    #expect(try directory.entry("bb").shape == [2, 3])
    #expect(try Array(directory.bytes("bb")) == content(directory.entry("bb")))
    let error = try #require(throws: CheckpointError.self) { _ = try directory.bytes("c") }
    #expect(error.kind == .missing && error.path == scratch.path)
  }

  @Test func theModelIsInItsOwnFileAndTheModules() throws {
    try write("model.safetensors", ["a", "bb"])
    try write("mtp.safetensors", ["ccc"])
    try write("input.safetensors", ["bb", "input_ids"])  // not the model's: not read
    let directory = try HuggingFaceDirectory(scratch.path)
    #expect(directory.names == ["a", "bb", "ccc"])
    #expect(try directory.file(of: "ccc").path == scratch.file("mtp.safetensors"))
  }

  @Test func filesOfOtherNamesAreCombined() throws {
    try write("first.safetensors", ["a", "bb"])
    try write("second.safetensors", ["ccc"])
    #expect(try HuggingFaceDirectory(scratch.path).names == ["a", "bb", "ccc"])
    try write("third.safetensors", ["bb"])
    #expect(try refusal().description.contains("\"bb\""))
  }

  @Test func shardsOfAnIndex() throws {
    try write("model-1.safetensors", ["a", "bb"])
    try write("model-2.safetensors", ["ccc"])
    try write("stray.safetensors", ["a"])  // not in the index: not read
    try writeIndex(#""ccc": "model-2.safetensors", "a": "model-1.safetensors", "bb": "model-1.safetensors""#)
    let directory = try HuggingFaceDirectory(scratch.path)
    #expect(directory.names == ["a", "bb", "ccc"])
    #expect(try Array(directory.bytes("ccc")) == content(directory.entry("ccc")))
  }

  @Test func allDisagreementsWithTheIndexAreNamed() throws {
    try write("model-1.safetensors", ["a", "extra"])
    try write("model-2.safetensors", ["ccc"])
    try writeIndex(
      #""a": "model-2.safetensors", "lost": "model-1.safetensors", "ccc": "model-2.safetensors""#)
    let error = try refusal()
    #expect(error.kind == .malformed)
    for part in [
      #"model-1.safetensors holds "a", which the index places in model-2.safetensors"#,
      #"holds "extra", which the index does not list"#, #"does not hold "lost""#,
    ] { #expect(error.message.contains(part), "\(error.message)") }
  }

  @Test func missingShardIsNamed() throws {
    try write("model-1.safetensors", ["a"])
    try writeIndex(#""a": "model-1.safetensors", "b": "model-2.safetensors""#)
    let error = try refusal()
    #expect(error.kind == .missing && error.path == scratch.file("model-2.safetensors"))
  }

  @Test(arguments: [
    "../model.safetensors", "/etc/model.safetensors", "model.bin", ".safetensors", "a/b.safetensors",
  ])
  func shardsOutsideAreRefused(shard: String) throws {
    try writeIndex("\"a\": \"\(shard)\"")
    #expect(try refusal().message.contains(shard))
  }

  @Test func indexAndSingleFileAreRefused() throws {
    try write("model.safetensors", ["a"])
    try write("model-1.safetensors", ["a"])
    try writeIndex(#""a": "model-1.safetensors""#)
    #expect(try refusal().message.contains("both"))
  }

  @Test(arguments: ["{}", "{\"weight_map\": {}}", "", "[]", "{\"weight_map\": {\"a\": 1}}", "{\"x\": [[[}"])
  func brokenIndexIsRefused(text: String) throws {
    _ = try scratch.write(Array(text.utf8), as: "model.safetensors.index.json")
    #expect(try refusal().path == scratch.file("model.safetensors.index.json"))
  }

  @Test func deepNestingIsRefused() throws {
    let text = "{\"metadata\": " + String(repeating: "[", count: 200_000)
    _ = try scratch.write(Array(text.utf8), as: "model.safetensors.index.json")
    #expect(try refusal().message.contains("nested"))
  }

  @Test func emptyAndMissingDirectories() throws {
    #expect(try refusal().kind == .missing)
    let error = try #require(throws: CheckpointError.self) {
      _ = try HuggingFaceDirectory(scratch.file("none"))
    }
    #expect(error.kind == .missing && error.path == scratch.file("none"))
  }
}
