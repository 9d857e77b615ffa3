/// Several token shards as one stream: end-of-text, document, end-of-text, document, …, end-of-text.
///
/// The end-of-text that begins a shard is left out after the first shard, where the shard before has given it.
package struct TokenDataset: Sendable {
  /// Tokens in the stream.
  package let count: Int
  package let documentCount: Int
  /// UTF-8 bytes of all documents.
  package let textBytes: Int
  package let vocabularySize: Int
  package let endOfText: Int32
  /// The same for the same tokens in the same shards: made of the shards' checksums.
  package let fingerprint: String

  private let shards: [TokenShard]
  /// The place in the stream of each shard's second token, less one.
  private let starts: [Int]

  /// - Throws: `ShardError` when a shard is damaged or missing, or they were made with different tokenizers.
  package init(_ paths: [String]) throws(ShardError) {
    var shards: [TokenShard] = []
    var starts: [Int] = []
    var count = 1
    for path in paths {
      let shard = try TokenShard(path: path)
      starts.append(count - 1)
      count += shard.header.tokenCount - 1
      shards.append(shard)
    }
    guard let first = shards.first else { throw .noShards }
    for shard in shards {
      let fields = [
        ("vocabulary size", shard.header.vocabularySize, first.header.vocabularySize),
        ("end-of-text id", Int(shard.header.endOfText), Int(first.header.endOfText)),
      ]
      for (field, value, other) in fields where value != other {
        throw .mismatch(path: shard.path, other: first.path, field: field, values: [value, other])
      }
    }
    self.shards = shards
    self.starts = starts
    self.count = count
    documentCount = shards.reduce(0) { $0 + $1.header.documentCount }
    textBytes = shards.reduce(0) { $0 + $1.header.textBytes }
    vocabularySize = first.header.vocabularySize
    endOfText = first.header.endOfText
    fingerprint = shards.map { String($0.header.checksum, radix: 16) }.joined(separator: "-")
  }

  /// Copies the tokens `position ..< position + count` of the stream to the start of `buffer`.
  package func copyTokens(
    at position: Int, count wanted: Int, into buffer: UnsafeMutableBufferPointer<Int32>
  ) {
    precondition(
      position >= 0 && wanted >= 0 && position + wanted <= count && wanted <= buffer.count,
      "\(wanted) tokens at \(position) of \(count) do not exist or do not fit into \(buffer.count)")
    guard wanted > 0, let target = buffer.baseAddress else { return }
    var done = 0
    // The last shard that starts at or before the position.
    var shard = (starts.firstIndex { $0 > position } ?? starts.count) - 1
    while done < wanted {
      let local = position + done - starts[shard]
      let here = min(wanted - done, shards[shard].header.tokenCount - local)
      shards[shard].copyTokens(at: local, count: here, into: target + done)
      done += here
      shard += 1
    }
  }
}
