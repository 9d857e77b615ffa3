import Foundation
import Testing

@testable import Data

/// Documents as tokens, in a vocabulary of 300 with end-of-text 1.
let shardDocuments: [[Int32]] = [[5, 6, 7], [299], [0, 2, 3, 4]]

/// Writes documents to a shard; each token stands for two bytes.
@discardableResult
func writeShard(_ path: String, _ documents: [[Int32]], vocabularySize: Int = 300) throws -> ShardHeader {
  var writer = try ShardWriter(path: path, vocabularySize: vocabularySize, endOfText: 1)
  for document in documents { try writer.append(document: document, textBytes: 2 * document.count) }
  return try writer.finish()
}

func tokens(_ dataset: TokenDataset, _ range: Range<Int>) -> [Int32] {
  [Int32](unsafeUninitializedCapacity: range.count) { buffer, count in
    dataset.copyTokens(at: range.lowerBound, count: range.count, into: buffer)
    count = range.count
  }
}

@Suite struct ShardTests {
  @Test(arguments: [300, 65_536, 65_537, 1 << 24])
  func whatIsWrittenIsRead(vocabularySize: Int) throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("a.tokens")
    var documents = shardDocuments
    documents.append([Int32(vocabularySize - 1)])
    let header = try writeShard(path, documents, vocabularySize: vocabularySize)
    #expect(header.tokenWidth == (vocabularySize <= 65_536 ? 2 : 4))
    let dataset = try TokenDataset([path])
    #expect(dataset.count == 1 + 9 + 4)
    #expect(dataset.documentCount == 4)
    #expect(dataset.textBytes == 18)
    #expect(dataset.vocabularySize == vocabularySize)
    #expect(dataset.endOfText == 1)
    #expect(tokens(dataset, 0..<14) == [1, 5, 6, 7, 1, 299, 1, 0, 2, 3, 4, 1, Int32(vocabularySize - 1), 1])
    #expect(try directory.names() == ["a.tokens"])
  }

  @Test func theBytesAreAsDocumented() throws {
    let directory = try TemporaryDirectory()
    try writeShard(directory.path("a"), [[5, 256]])
    let bytes = try Array(Data(contentsOf: URL(fileURLWithPath: directory.path("a"))))
    #expect(bytes.count == 72 + 4 * 2)
    #expect(Array(bytes[0..<8]) == Array("HADALTOK".utf8))
    #expect(Array(bytes[8..<16]) == [1, 0, 0, 0, 2, 0, 0, 0])
    let counts: [UInt8] = [44, 1, 0, 0, 0, 0, 0, 0] + [4, 0, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0, 0, 0, 0, 0]
    #expect(Array(bytes[16..<40]) == counts)
    #expect(Array(bytes[40..<56]) == [4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    #expect(Array(bytes[72...]) == [1, 0, 5, 0, 0, 1, 1, 0])
  }

  @Test func unfinishedShardsLeaveNothing() throws {
    let directory = try TemporaryDirectory()
    do {
      var writer = try ShardWriter(path: directory.path("a"), vocabularySize: 300, endOfText: 1)
      try writer.append(document: [2, 3], textBytes: 2)
    }
    #expect(try directory.names().isEmpty)
  }

  @Test func severalShardsAreOneStream() throws {
    let directory = try TemporaryDirectory()
    let parts: [[[Int32]]] = [[[5, 6]], [], [[7], [8, 9, 10]], [], [[11]]]
    var paths: [String] = []
    for (index, documents) in parts.enumerated() {
      paths.append(directory.path("\(index)"))
      try writeShard(paths[index], documents)
    }
    let dataset = try TokenDataset(paths)
    let stream: [Int32] = [1, 5, 6, 1, 7, 1, 8, 9, 10, 1, 11, 1]
    #expect(dataset.count == stream.count)
    #expect(dataset.documentCount == 4)
    #expect(dataset.textBytes == 14)
    for start in 0...stream.count {
      for end in start...stream.count { #expect(tokens(dataset, start..<end) == Array(stream[start..<end])) }
    }
  }

  @Test func shardsOfDifferentTokenizersAreRefused() throws {
    let directory = try TemporaryDirectory()
    let (a, b, c) = (directory.path("a"), directory.path("b"), directory.path("c"))
    try writeShard(a, [[5]])
    try writeShard(b, [[5]], vocabularySize: 301)
    var writer = try ShardWriter(path: c, vocabularySize: 300, endOfText: 2)
    _ = try writer.finish()
    #expect(throws: ShardError.mismatch(path: b, other: a, field: "vocabulary size", values: [301, 300])) {
      try TokenDataset([a, b])
    }
    #expect(throws: ShardError.mismatch(path: c, other: a, field: "end-of-text id", values: [2, 1])) {
      try TokenDataset([a, c])
    }
    #expect(throws: ShardError.noShards) { try TokenDataset([]) }
    #expect(throws: ShardError.file(FileError("open", "/nowhere", code: ENOENT))) {
      try TokenDataset(["/nowhere"])
    }
  }
}
