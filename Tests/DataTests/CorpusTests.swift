import Foundation
import Testing

@testable import Data

@Suite struct CorpusTests {
  /// Reference values from another implementation of FNV-1a and of the finalizer.
  @Test func theSplitHashIsStable() {
    for (text, share) in [
      ("a", 0.5102945176565711), ("foobar", 0.17239530597254804), ("漢字\n", 0.752942329974119),
    ] {
      let digest = DocumentDigest(text)
      #expect(!digest.isHeldOut(fraction: share))
      #expect(digest.isHeldOut(fraction: share.nextUp))
    }
    var hash = FNV1a()
    for byte in "foobar".utf8 { hash.combine(UInt64(byte)) }
    #expect(hash.value == 0x8594_4171_f739_67e8)
  }

  @Test func theFractionIsHeldOut() {
    let held = (0..<20_000).filter { DocumentDigest("document \($0)").isHeldOut(fraction: 0.05) }
    // Five standard deviations of the binomial distribution: 1000 ± 5·31.
    #expect(abs(held.count - 1000) < 154)
    #expect(held.allSatisfy { DocumentDigest("document \($0)").isHeldOut(fraction: 0.1) })
    #expect(!DocumentDigest("x").isHeldOut(fraction: 0))
  }

  @Test func differentDocumentsHaveDifferentDigests() {
    let texts = ["", "\0", "\0\0", "a", "b", "ab", "ba", "é", "e\u{301}"] + (0..<5000).map { "\($0)" }
    #expect(Set(texts.map { DocumentDigest($0) }).count == texts.count)
    #expect(Set(texts.map { DocumentDigest($0).polynomial }).count == texts.count)
  }

  private func splits(_ corpus: Corpus) throws -> ([String: CorpusSplit], CorpusSummary) {
    var reader = try corpus.makeReader()
    var splits: [String: CorpusSplit] = [:]
    while let (text, split) = try reader.next() { splits[text] = split }
    return (splits, reader.summary)
  }

  @Test func duplicatesGoAndOrderDoesNotMatter() throws {
    let directory = try TemporaryDirectory()
    let records = (0..<400).map { "record \($0 % 300)" }
    let forwards = try directory.write("f", records.joined(separator: "\n%\n"))
    let backwards = try directory.write("b", records.reversed().joined(separator: "\n%\n") + "\n%\n%\n")
    let first = try splits(Corpus(DocumentSource(paths: [forwards], separator: "%"), heldOutFraction: 0.2))
    let second = try splits(Corpus(DocumentSource(paths: [backwards], separator: "%"), heldOutFraction: 0.2))
    #expect(first.0 == second.0)
    #expect(first.0.count == 300)
    let summary = first.1
    #expect(summary.documents == 300)
    #expect(summary.training.duplicates + summary.validation.duplicates == 100)
    #expect(summary.validation.documents == first.0.values.count { $0 == .validation })
    #expect((30...90).contains(summary.validation.documents))
    #expect(summary.bytes == first.0.keys.reduce(0) { $0 + $1.utf8.count })
    #expect(summary.blanks == 0 && second.1.blanks == 1)
    let both = try splits(
      Corpus(DocumentSource(paths: [forwards, backwards], separator: "%"), heldOutFraction: 0.2))
    #expect(both.0 == first.0)
    #expect(both.1.training.duplicates + both.1.validation.duplicates == 500)
  }

  @Test func emptyCorporaAndBadFractions() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("f", "\n%\n \n%\n")
    #expect(throws: DocumentError.noDocuments(files: 1)) {
      try splits(Corpus(DocumentSource(paths: [path], separator: "%"), heldOutFraction: 0))
    }
    for fraction in [-0.1, 1, 2, Double.nan] {
      #expect(throws: DocumentError.self) {
        try Corpus(DocumentSource(paths: [path]), heldOutFraction: fraction)
      }
    }
  }
}
