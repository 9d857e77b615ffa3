import Testing

@testable import Data

@Suite struct RowSetTests {
  @Test(arguments: [1, 2, 3, 4, 5, 7, 11, 12, 100])
  func eachTokenButTheFirstIsPredictedOnce(sequenceLength: Int) throws {
    let directory = try TemporaryDirectory()
    try writeShard(directory.path("a"), shardDocuments)
    let rows = RowSet(try TokenDataset([directory.path("a")]), sequenceLength: sequenceLength)
    let stream: [Int32] = [1, 5, 6, 7, 1, 299, 1, 0, 2, 3, 4, 1]
    var predicted: [Int32] = []
    for index in 0..<rows.count {
      let row = rows.row(index)
      #expect(row.tokens.count == sequenceLength + 1 && row.documentIndex.count == sequenceLength + 1)
      #expect(row.validCount >= 2)
      #expect((row.validCount == sequenceLength + 1) == (index < rows.wholeCount))
      #expect(row.tokens[0] == stream[index * sequenceLength])
      #expect(row.tokens[row.validCount...].allSatisfy { $0 == 1 })
      #expect(row.documentIndex[row.validCount...].allSatisfy { $0 == -1 })
      predicted += row.tokens[1..<row.validCount]
    }
    #expect(predicted == Array(stream.dropFirst()))
    #expect(rows.wholeCount == 11 / sequenceLength)
  }

  @Test func anEndOfTextBelongsToItsDocument() throws {
    let directory = try TemporaryDirectory()
    try writeShard(directory.path("a"), shardDocuments)
    let dataset = try TokenDataset([directory.path("a")])
    // 1 | 5 6 7 1 | 299 1 | 0 2 3 4 1
    #expect(RowSet(dataset, sequenceLength: 11).row(0).documentIndex == [0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3])
    #expect(RowSet(dataset, sequenceLength: 4).row(1).documentIndex == [0, 1, 1, 2, 2])
    #expect(RowSet(dataset, sequenceLength: 4).row(2).documentIndex == [0, 0, 0, 0, -1])
  }

  @Test func anEmptyStreamHasNoRows() throws {
    let directory = try TemporaryDirectory()
    try writeShard(directory.path("a"), [])
    let dataset = try TokenDataset([directory.path("a")])
    for length in [1, 2, 8] {
      #expect(RowSet(dataset, sequenceLength: length).count == 0)
      #expect(RowSet(dataset, sequenceLength: length).wholeCount == 0)
    }
  }
}
