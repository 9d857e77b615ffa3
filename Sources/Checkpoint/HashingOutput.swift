internal import Crypto

/// A file that is being written and hashed, in blocks: a thread writes one while the next is filled and hashed. A file of
/// less than a block is written at its end, and needs no thread.
final class HashingOutput {
  /// The hash finds so much in the cache after it was copied.
  private static let pieceBytes = 1 << 18

  private let file: OpenFile
  private let fileSystem: any FileSystem
  private let ring = BlockRing(blocks: 2, stages: 2)
  private var isRunning = false
  /// Of the block that is next.
  private var filled = 0
  private var hash = SHA256()
  /// Bytes given so far.
  private(set) var length = 0

  init(_ file: OpenFile, on fileSystem: any FileSystem) { (self.file, self.fileSystem) = (file, fileSystem) }

  /// The thread must not write to a file that is given up.
  deinit { try? end() }

  func append(_ bytes: [UInt8]) throws(CheckpointError) {
    var failure: CheckpointError?
    bytes.withUnsafeBytes { buffer in
      do throws(CheckpointError) { try append(buffer) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  func append(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    length += bytes.count
    var rest = bytes
    while !rest.isEmpty {
      if filled == BlockRing.blockBytes { put() }
      let block = try nextBlock()
      let count = min(rest.count, block.count - filled, Self.pieceBytes)
      let piece = UnsafeMutableRawBufferPointer(rebasing: block[filled..<filled + count])
      piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
      hash.update(bufferPointer: UnsafeRawBufferPointer(piece))
      filled += count
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  /// Writes what is left, and tells what was written.
  func finish() throws(CheckpointError) -> FileDigest {
    let last = try nextBlock()
    try end()
    try fileSystem.writeAll(UnsafeRawBufferPointer(rebasing: last[..<filled]), to: file)
    return FileDigest(length: length, sha256: hexadecimal(hash.finalize()))
  }

  /// The one that is being filled, once the disk has taken what it held before.
  private func nextBlock() throws(CheckpointError) -> UnsafeMutableRawBufferPointer {
    guard let next = try ring.take(0) else { preconditionFailure("\(file.path) has been finished") }
    return next.block
  }

  /// Gives the block, which is full, to the disk.
  private func put() {
    if !isRunning {
      isRunning = true
      let (file, fileSystem) = (file, fileSystem)
      fileSystem.expectBlocks(in: file)
      ring.start(1) { (_, block) throws(CheckpointError) in
        try fileSystem.writeAll(UnsafeRawBufferPointer(block), to: file)
      }
    }
    ring.pass(0)
    filled = 0
  }

  private func end() throws(CheckpointError) {
    ring.finish()
    try ring.join()
  }
}
