internal import Glibc

/// A block of a file in memory.
struct FileBlock {
  /// Where it stands in the file.
  let place: Range<Int>
  let bytes: UnsafeRawBufferPointer
}

/// Reads a file in blocks: a thread reads some while those before them are worked on.
///
/// Not through a mapping, so that a part of the disk that cannot be read is an error here and not a signal later.
struct BlockReader {
  /// Enough for a disk and two stages of work that are not always equally fast.
  private static let blocks = 4
  private static let page = 4096

  private let file: ReadableFile
  private let places: [Range<Int>]
  private let staysCached: Bool

  /// How long the file is.
  var length: Int { file.length }

  /// - Parameters:
  ///   - ranges: what of the file is wanted; nil for all of it. More is read, up to whole pages.
  ///   - staysCached: whether what is read should stay in the page cache.
  /// - Throws: `CheckpointError` if the file cannot be opened, or ends before a range does.
  init(_ path: String, _ ranges: [Range<Int>]? = nil, staysCached: Bool = false) throws(CheckpointError) {
    file = try ReadableFile(path)
    self.staysCached = staysCached
    // The system reads further ahead.
    posix_fadvise(file.descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
    let ranges = ranges ?? [0..<file.length]
    if let last = ranges.map(\.upperBound).max(), last > file.length { throw file.ended(at: file.length) }
    places = Self.places(covering: ranges, of: file.length)
  }

  /// Reads it, once.
  ///
  /// - Parameters:
  ///   - then: what every block goes through on a thread of its own, after `body`.
  ///   - body: what every block goes through on this thread, in the order of the file.
  func read(
    then: (@Sendable (FileBlock) -> Void)? = nil, _ body: (FileBlock) -> Void
  ) throws(CheckpointError) {
    let ring = BlockRing(blocks: Self.blocks, stages: then == nil ? 2 : 3, total: places.count)
    let (file, places, staysCached) = (file, places, staysCached)
    @Sendable func block(_ number: Int, _ memory: UnsafeMutableRawBufferPointer) -> FileBlock {
      FileBlock(
        place: places[number], bytes: UnsafeRawBufferPointer(rebasing: memory[..<places[number].count]))
    }
    ring.start(0) { (number, memory) throws(CheckpointError) in
      try file.read(places[number], into: memory, staysCached: staysCached)
    }
    if let then { ring.start(2) { then(block($0, $1)) } }
    try? ring.run(1) { body(block($0, $1)) }  // `join` says what has failed
    try ring.join()
  }

  /// Blocks, as long as the ring's at most, that begin at pages and hold all of the ranges.
  private static func places(covering ranges: [Range<Int>], of length: Int) -> [Range<Int>] {
    var pages: [Range<Int>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
      let begin = range.lowerBound / page * page
      let end = min((range.upperBound + page - 1) / page * page, length)
      if let last = pages.last, begin <= last.upperBound {
        pages[pages.count - 1] = last.lowerBound..<max(last.upperBound, end)
      } else {
        pages.append(begin..<end)
      }
    }
    return pages.flatMap { pages in
      stride(from: pages.lowerBound, to: pages.upperBound, by: BlockRing.blockBytes).map {
        $0..<min($0 + BlockRing.blockBytes, pages.upperBound)
      }
    }
  }
}
