/// The part of a corpus that a document belongs to.
package enum CorpusSplit: String, CaseIterable, Hashable, Sendable, Codable {
  case training = "train"
  case validation
}

/// Counts of one split.
package struct SplitSummary: Hashable, Sendable, Codable {
  /// Different documents.
  package var documents = 0
  /// Their UTF-8 bytes.
  package var bytes = 0
  /// Exact copies of them that were left out.
  package var duplicates = 0
}

/// Counts of a corpus.
package struct CorpusSummary: Hashable, Sendable, Codable {
  package var training = SplitSummary()
  package var validation = SplitSummary()
  /// Records without any text, left out.
  package var blanks = 0

  package subscript(split: CorpusSplit) -> SplitSummary {
    get { split == .training ? training : validation }
    set { if split == .training { training = newValue } else { validation = newValue } }
  }

  package var documents: Int { training.documents + validation.documents }
  package var bytes: Int { training.bytes + validation.bytes }
}

/// The different documents of a source, each in its split. Reading it twice gives the same twice.
package struct Corpus: Sendable {
  package let source: DocumentSource
  package let files: FileList
  /// The share of documents that goes to validation, in [0, 1).
  package let heldOutFraction: Double

  /// - Throws: `DocumentError` when a path is missing, nothing can be read, or a setting is out of its range.
  package init(_ source: DocumentSource, heldOutFraction: Double) throws(DocumentError) {
    guard heldOutFraction >= 0, heldOutFraction < 1 else { throw .badFraction(heldOutFraction) }
    files = try FileList(source)
    self.source = source
    self.heldOutFraction = heldOutFraction
  }

  package func makeReader() throws(DocumentError) -> CorpusReader { try CorpusReader(self) }
}

/// One pass over a corpus. It keeps 16 bytes of each document, to leave out exact copies.
package struct CorpusReader {
  /// What has been counted so far.
  package private(set) var summary = CorpusSummary()
  private var reader: DocumentReader
  private var seen: Set<DocumentDigest> = []
  private let corpus: Corpus

  init(_ corpus: Corpus) throws(DocumentError) {
    self.corpus = corpus
    reader = try DocumentReader(corpus.source, files: corpus.files.files)
  }

  /// The next document that is not a copy of an earlier one, or nil after the last.
  /// - Throws: `DocumentError`, at the end also when there was no document at all.
  package mutating func next() throws(DocumentError) -> (text: String, split: CorpusSplit)? {
    while let text = try reader.next() {
      let digest = DocumentDigest(text)
      let split: CorpusSplit = digest.isHeldOut(fraction: corpus.heldOutFraction) ? .validation : .training
      guard seen.insert(digest).inserted else {
        summary[split].duplicates += 1
        continue
      }
      summary[split].documents += 1
      summary[split].bytes += text.utf8.count
      return (text, split)
    }
    summary.blanks = reader.blanks
    guard summary.documents > 0 else { throw .noDocuments(files: corpus.files.files.count) }
    return nil
  }
}
