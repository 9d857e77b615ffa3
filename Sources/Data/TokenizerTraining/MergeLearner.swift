/// The words of a training text as tokens, and how often each pair of neighbors occurs in them.
///
/// A merge touches only the words that hold its pair; counts of the pairs around it are corrected, not recounted.
struct MergeLearner {
  /// Most frequent first, then the smaller pair. The count may be outdated: then it is too high.
  private struct Candidate: Comparable {
    let count: Int
    let pair: TokenPair

    static func < (first: Candidate, second: Candidate) -> Bool {
      first.count != second.count ? first.count > second.count : first.pair < second.pair
    }
  }

  private struct Occurrences {
    var count = 0
    /// Every word that holds the pair, and perhaps some that held it once.
    var words: [Int32] = []
  }

  private let byteTokens: [Int32]
  /// The tokens of all words in a row; a word gets shorter in place.
  private var tokens: [Int32] = []
  private var wordStarts: [Int] = []
  private var wordLengths: [Int] = []
  private var wordCounts: [Int] = []
  private var occurrences: [TokenPair: Occurrences] = [:]
  private var candidates = BinaryHeap<Candidate>()
  /// Pairs whose count grew since the candidates were last brought up to date.
  private var grown: Set<TokenPair> = []

  init(byteTokens: [Int32]) { self.byteTokens = byteTokens }

  /// Adds a word that occurs `count` times in the text.
  mutating func add(_ word: ArraySlice<UInt8>, count: Int) {
    let number = wordStarts.count
    wordStarts.append(tokens.count)
    wordLengths.append(word.count)
    wordCounts.append(count)
    tokens.append(contentsOf: word.lazy.map { [byteTokens] in byteTokens[Int($0)] })
    for position in wordStarts[number]..<tokens.count - 1 {
      change(TokenPair(tokens[position], tokens[position + 1]), by: count, in: number)
    }
  }

  /// The pair to merge next, or nil when none occurs `minimum` times.
  mutating func mostFrequentPair(atLeast minimum: Int) -> TokenPair? {
    for pair in grown { candidates.push(Candidate(count: occurrences[pair]?.count ?? 0, pair: pair)) }
    grown.removeAll(keepingCapacity: true)
    while let best = candidates.pop(), best.count >= minimum {
      let count = occurrences[best.pair]?.count ?? 0
      if count == best.count { return best.pair }
      candidates.push(Candidate(count: count, pair: best.pair))
    }
    return nil
  }

  /// Puts `token` in the place of the pair wherever it occurs, from left to right.
  mutating func merge(_ pair: TokenPair, into token: Int32) {
    guard let places = occurrences[pair] else { return }
    for word in places.words { merge(pair, into: token, inWord: Int(word)) }
    occurrences[pair] = nil
    grown.remove(pair)
  }

  private mutating func merge(_ pair: TokenPair, into token: Int32, inWord number: Int) {
    let start = wordStarts[number]
    let end = start + wordLengths[number]
    let count = wordCounts[number]
    var source = start
    var target = start
    while source < end {
      guard source + 1 < end, TokenPair(tokens[source], tokens[source + 1]) == pair else {
        tokens[target] = tokens[source]
        source += 1
        target += 1
        continue
      }
      if target > start {
        let left = tokens[target - 1]
        change(TokenPair(left, pair.left), by: -count, in: number)
        change(TokenPair(left, token), by: count, in: number)
      }
      if source + 2 < end {
        let right = tokens[source + 2]
        change(TokenPair(pair.right, right), by: -count, in: number)
        change(TokenPair(token, right), by: count, in: number)
      }
      tokens[target] = token
      source += 2
      target += 1
    }
    wordLengths[number] = target - start
  }

  private mutating func change(_ pair: TokenPair, by count: Int, in word: Int) {
    occurrences[pair, default: Occurrences()].count += count
    guard count > 0 else { return }
    grown.insert(pair)
    if occurrences[pair]?.words.last != Int32(word) { occurrences[pair]?.words.append(Int32(word)) }
  }
}
