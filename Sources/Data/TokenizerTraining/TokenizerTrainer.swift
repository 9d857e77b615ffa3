/// Learns a byte-level BPE tokenizer from documents: the most frequent pair of neighbors merges, again and again.
///
/// Words are cut as DeepSeek-V3 cuts them. Ids: the special tokens, the 256 bytes in the order of their
/// characters, then one a merge. Of equally frequent pairs the smaller one merges, so the result is a function of
/// the documents alone. Source: Sennrich et al., arXiv 1508.07909, algorithm 1.
package struct TokenizerTrainer {
  /// Beginning of sentence, end of sentence, padding; their places are their ids. Source: spec §4.3.
  package static let specialTokens = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
  package static let endOfText = "<｜end▁of▁sentence｜>"
  /// The special tokens and the bytes.
  package static let smallestVocabulary = specialTokens.count + 256

  private let vocabularySize: Int
  private let minimumPairCount: Int
  private let preTokenizer: PreTokenizer
  private var words = WordTable()
  private var wordCounts: [Int] = []

  /// - Parameters:
  ///   - vocabularySize: tokens in all, with the special ones.
  ///   - minimumPairCount: a pair that occurs less often is not worth a token.
  /// - Throws: `TokenizerError.vocabularySize` when not even the bytes fit, or ids would be too large.
  package init(vocabularySize: Int, minimumPairCount: Int = 2) throws(TokenizerError) {
    precondition(minimumPairCount > 0, "a pair count of \(minimumPairCount) is none")
    let allowed = TokenizerTrainer.smallestVocabulary...Tokenizer.idRange.upperBound + 1
    guard allowed.contains(vocabularySize) else {
      throw .vocabularySize(asked: vocabularySize, allowed: allowed)
    }
    self.vocabularySize = vocabularySize
    self.minimumPairCount = minimumPairCount
    do {
      preTokenizer = try PreTokenizer(patterns: PreTokenizer.deepSeekPatterns)
    } catch {
      preconditionFailure("our own pattern \(error.index) is not a regular expression")
    }
  }

  /// Counts the words of one document.
  package mutating func add(_ document: String) {
    preTokenizer.forEachWord(in: document) { word in
      let (number, isNew) = words.number(of: word)
      if isNew { wordCounts.append(0) }
      wordCounts[number] += 1
    }
  }

  /// Learns the merges from what was added. A small text may not yield all the tokens that were asked for:
  /// the tokenizer's `vocabularySize` is what came out.
  /// - Throws: `TokenizerError` as the reader of tokenizer files, through which the result goes.
  package func tokenizer() throws(TokenizerError) -> Tokenizer {
    var file = TokenizerFile(
      specialTokens: TokenizerTrainer.specialTokens, patterns: PreTokenizer.deepSeekPatterns)
    var learner = MergeLearner(byteTokens: file.byteTokens)
    for (number, count) in wordCounts.enumerated() { learner.add(words.bytes(of: number), count: count) }
    while file.vocabularySize < vocabularySize,
      let pair = learner.mostFrequentPair(atLeast: minimumPairCount)
    {
      learner.merge(pair, into: file.append(pair))
    }
    return try Tokenizer(
      json: file.json, path: "the trained tokenizer", endOfText: TokenizerTrainer.endOfText)
  }
}
