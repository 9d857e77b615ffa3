/// The two readings of a corpus that its preparation takes.
struct PreparationPass {
  let corpus: Corpus
  let directory: OutputDirectory

  private static let bytesPerReport = 1 << 20

  /// First reading: writes the text files and shows the training split to a tokenizer that learns.
  func writeTexts(
    learning tokenizer: inout PendingTokenizer, progress: (CorpusPreparation.Progress) -> Void
  ) throws(PreparationError) -> CorpusSummary {
    let separator = Array("\(corpus.source.separator ?? "")\n".utf8)
    var files: [CorpusSplit: AtomicFile] = [:]
    do {
      for split in corpus.filledSplits {
        files[split] = try AtomicFile(directory.stagingPath(of: "\(split.rawValue).txt"))
      }
    } catch {
      throw .file(error)
    }
    let summary = try forEachDocument(.reading, progress) { text, split, isFirst throws(PreparationError) in
      if split == .training { tokenizer.learn(from: text) }
      do throws(FileError) {
        if !isFirst { try files[split]?.write(separator) }
        try files[split]?.write(text.utf8)
        try files[split]?.write([0x0A])
      } catch {
        throw .file(error)
      }
    }
    do {
      for file in files.values { try file.commit() }
    } catch {
      throw .file(error)
    }
    return summary
  }

  /// Second reading: writes the shards, and returns how many tokens each has.
  func writeShards(
    _ tokenizer: Tokenizer, progress: (CorpusPreparation.Progress) -> Void
  ) throws(PreparationError) -> (CorpusSummary, [CorpusSplit: Int]) {
    var encoder = TokenEncoder(tokenizer)
    var writers: [CorpusSplit: ShardWriter] = [:]
    var tokens: [CorpusSplit: Int] = [:]
    do {
      for split in corpus.filledSplits {
        writers[split] = try ShardWriter(
          path: directory.stagingPath(of: "\(split.rawValue).tokens"),
          vocabularySize: tokenizer.vocabularySize, endOfText: tokenizer.endOfText)
      }
    } catch {
      throw .shard(error)
    }
    let summary = try forEachDocument(.encoding, progress) { text, split, _ throws(PreparationError) in
      do throws(ShardError) {
        try writers[split]?.append(document: encoder.encode(text), textBytes: text.utf8.count)
      } catch {
        throw .shard(error)
      }
    }
    do {
      for split in corpus.filledSplits { tokens[split] = try writers[split]?.finish().tokenCount }
    } catch {
      throw .shard(error)
    }
    return (summary, tokens)
  }

  /// Calls `body` with each document, its split, and whether it is the first of its split.
  private func forEachDocument(
    _ stage: CorpusPreparation.Progress.Stage, _ progress: (CorpusPreparation.Progress) -> Void,
    _ body: (String, CorpusSplit, Bool) throws(PreparationError) -> Void
  ) throws(PreparationError) -> CorpusSummary {
    var reader: CorpusReader
    do {
      reader = try corpus.makeReader()
    } catch {
      throw .document(error)
    }
    var reported = 0
    while let (text, split) = try next(&reader) {
      try body(text, split, reader.summary[split].documents == 1)
      if reader.summary.bytes - reported >= PreparationPass.bytesPerReport {
        reported = reader.summary.bytes
        progress(self.progress(stage, reader.summary))
      }
    }
    progress(self.progress(stage, reader.summary))
    return reader.summary
  }

  private func next(
    _ reader: inout CorpusReader
  ) throws(PreparationError) -> (text: String, split: CorpusSplit)? {
    do {
      return try reader.next()
    } catch {
      throw .document(error)
    }
  }

  func progress(
    _ stage: CorpusPreparation.Progress.Stage, _ summary: CorpusSummary
  ) -> CorpusPreparation.Progress {
    CorpusPreparation.Progress(
      stage: stage, documents: summary.documents, bytes: summary.bytes, totalBytes: corpus.files.bytes)
  }
}

extension Corpus {
  /// The splits that must get documents.
  var filledSplits: [CorpusSplit] { heldOutFraction > 0 ? CorpusSplit.allCases : [.training] }
}
