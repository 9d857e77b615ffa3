import Foundation
import Generation
import Testing

struct TokenizerFinderTests {
  @Test func theNearestIsFound() throws {
    let files = FileManager.default
    let run = files.temporaryDirectory.appendingPathComponent("hadal-\(UUID().uuidString)").path
    let step = "\(run)/checkpoints/step-5"
    try files.createDirectory(atPath: step, withIntermediateDirectories: true)
    defer { try? files.removeItem(atPath: run) }
    let error = try #require(throws: GenerationError.self) {
      try TokenizerFinder.path(besideCheckpoint: step)
    }
    #expect(error.description.contains("\(step)/tokenizer.json") && error.description.contains("--tokenizer"))
    for (directory, suffix) in [(run, "/../.."), ("\(run)/checkpoints", "/.."), (step, "")] {
      #expect(files.createFile(atPath: "\(directory)/tokenizer.json", contents: Data("{}".utf8)))
      #expect(try TokenizerFinder.path(besideCheckpoint: step) == step + suffix + "/tokenizer.json")
    }
  }
}
