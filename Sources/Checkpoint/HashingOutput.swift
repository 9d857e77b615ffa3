internal import Crypto

/// A file that is being written and hashed, in blocks: one is written while the next is filled and hashed. A file of less
/// than a block is written at its end.
final class HashingOutput {
  /// The hash finds so much in the cache after it was copied.
  private static let pieceBytes = 1 << 18

  private let file: OpenFile
  private let fileSystem: any FileSystem
  /// From the first whole block on.
  private var writer: BlockWriter?
  private let first = UnsafeMutableRawBufferPointer.allocate(
    byteCount: BlockWriter.blockBytes, alignment: 4096)
  /// Where bytes go.
  private var block: UnsafeMutableRawBufferPointer
  private var filled = 0
  private var hash = SHA256()
  /// Bytes given so far.
  private(set) var length = 0

  init(_ file: OpenFile, on fileSystem: any FileSystem) {
    (self.file, self.fileSystem) = (file, fileSystem)
    block = first
  }

  deinit {
    // Of a file that is given up: the thread ends before its blocks do.
    try? writer?.finish()
    first.deallocate()
  }

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
      if filled == block.count { try passOn() }
      let count = min(rest.count, block.count - filled, Self.pieceBytes)
      let piece = UnsafeMutableRawBufferPointer(rebasing: block[filled..<filled + count])
      piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
      hash.update(bufferPointer: UnsafeRawBufferPointer(piece))
      filled += count
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  /// Gives a full block to the disk, and goes on with another.
  private func passOn() throws(CheckpointError) {
    let isFirst = writer == nil
    let writer = writer ?? BlockWriter(file, on: fileSystem)
    self.writer = writer
    if isFirst { try writer.room().copyMemory(from: UnsafeRawBufferPointer(block)) }
    writer.put()
    block = try writer.room()
    filled = 0
  }

  /// Writes what is left, and tells what was written.
  func finish() throws(CheckpointError) -> FileDigest {
    let writer = self.writer
    self.writer = nil
    try writer?.finish()
    try withExtendedLifetime(writer) { () throws(CheckpointError) in
      try fileSystem.writeAll(UnsafeRawBufferPointer(rebasing: block[..<filled]), to: file)
    }
    return FileDigest(length: length, sha256: hexadecimal(hash.finalize()))
  }
}
