internal import Crypto

/// A file that is being written and hashed; gathers small pieces, so that a thousand norms are not a
/// thousand calls.
final class HashingOutput {
  /// Also the size of one write: small enough that the hash finds it in the cache.
  private static let blockBytes = 1 << 20

  private let file: OpenFile
  private let fileSystem: any FileSystem
  private let block = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 4096)
  private var filled = 0
  private var hash = SHA256()
  /// Bytes given so far.
  private(set) var length = 0

  init(_ file: OpenFile, on fileSystem: any FileSystem) { (self.file, self.fileSystem) = (file, fileSystem) }

  deinit { block.deallocate() }

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
      if filled == 0, rest.count >= Self.blockBytes {
        try put(UnsafeRawBufferPointer(rebasing: rest[..<Self.blockBytes]))
        rest = UnsafeRawBufferPointer(rebasing: rest[Self.blockBytes...])
        continue
      }
      let count = min(rest.count, Self.blockBytes - filled)
      UnsafeMutableRawBufferPointer(rebasing: block[filled...]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
      filled += count
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      if filled == Self.blockBytes { try flush() }
    }
  }

  /// Writes what is left, and tells what was written.
  func finish() throws(CheckpointError) -> FileDigest {
    try flush()
    return FileDigest(length: length, sha256: hexadecimal(hash.finalize()))
  }

  private func flush() throws(CheckpointError) {
    let count = filled
    filled = 0
    try put(UnsafeRawBufferPointer(rebasing: block[..<count]))
  }

  private func put(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    hash.update(bufferPointer: bytes)
    try fileSystem.writeAll(bytes, to: file)
  }
}
