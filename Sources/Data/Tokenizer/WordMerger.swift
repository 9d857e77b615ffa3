/// Applies merges to one word: always the earliest merge that fits anywhere, and of equals the leftmost.
///
/// A linked list of tokens and a heap of possible merges: `O(n log n)` for n bytes, however long the word is.
/// Kept between words only for its storage.
struct WordMerger {
  private struct Symbol {
    /// −1 once it was merged into its left neighbor.
    var token: Int32
    var previous: Int
    var next: Int
  }

  private struct Candidate: Comparable {
    let rank: Int32
    let position: Int
    let token: Int32

    static func < (first: Candidate, second: Candidate) -> Bool {
      (first.rank, first.position) < (second.rank, second.position)
    }
  }

  private var symbols: [Symbol] = []
  private var candidates = BinaryHeap<Candidate>()

  /// Appends the tokens of the word to `output`; `byteTokens` has the token of each of the 256 bytes.
  mutating func merge(
    _ word: UnsafeBufferPointer<UInt8>, byteTokens: [Int32], merges: MergeTable, into output: inout [Int32]
  ) {
    symbols.removeAll(keepingCapacity: true)
    candidates.removeAll()
    for (position, byte) in word.enumerated() {
      let next = position + 1 < word.count ? position + 1 : -1
      symbols.append(Symbol(token: byteTokens[Int(byte)], previous: position - 1, next: next))
    }
    for position in symbols.indices { consider(position, merges) }
    while let best = candidates.pop() {
      // A candidate is stale when either of its tokens has been merged since.
      guard merge(at: best.position, merges)?.rank == best.rank else { continue }
      join(best, merges)
    }
    for symbol in symbols where symbol.token >= 0 { output.append(symbol.token) }
  }

  /// The merge of the token at the position with its right neighbor.
  private func merge(at position: Int, _ merges: MergeTable) -> MergeTable.Merge? {
    let symbol = symbols[position]
    guard symbol.token >= 0, symbol.next >= 0 else { return nil }
    return merges[symbol.token, symbols[symbol.next].token]
  }

  private mutating func consider(_ position: Int, _ merges: MergeTable) {
    guard let merge = merge(at: position, merges) else { return }
    candidates.push(Candidate(rank: merge.rank, position: position, token: merge.token))
  }

  private mutating func join(_ merge: Candidate, _ merges: MergeTable) {
    let right = symbols[merge.position].next
    let after = symbols[right].next
    symbols[merge.position].token = merge.token
    symbols[merge.position].next = after
    symbols[right].token = -1
    if after >= 0 { symbols[after].previous = merge.position }
    let previous = symbols[merge.position].previous
    if previous >= 0 { consider(previous, merges) }
    consider(merge.position, merges)
  }
}
