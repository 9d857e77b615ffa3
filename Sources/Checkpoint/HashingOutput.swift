internal import Crypto

/// A file that is being written and hashed, in blocks: one is written while the next is filled and hashed. A file of less
/// than a block is written at its end.
final class HashingOutput {
  /// The hash finds so much in the cache after it was copied.
  private static let pieceBytes = 1 << 18

  private let writer: BlockWriter
  /// Of the writer's block.
  private var filled = 0
  private var hash = SHA256()
  /// Bytes given so far.
  private(set) var length = 0

  init(_ file: OpenFile, on fileSystem: any FileSystem) { writer = BlockWriter(file, on: fileSystem) }

  deinit { writer.end() }

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
      if filled == BlockWriter.blockBytes {
        try writer.put()
        filled = 0
      }
      let count = min(rest.count, BlockWriter.blockBytes - filled, Self.pieceBytes)
      let piece = UnsafeMutableRawBufferPointer(rebasing: writer.block[filled..<filled + count])
      piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
      hash.update(bufferPointer: UnsafeRawBufferPointer(piece))
      filled += count
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  /// Writes what is left, and tells what was written.
  func finish() throws(CheckpointError) -> FileDigest {
    try writer.finish(last: filled)
    return FileDigest(length: length, sha256: hexadecimal(hash.finalize()))
  }
}
