internal import Crypto
internal import Glibc

/// A file's length and SHA-256: how a checkpoint knows that a file is whole.
package struct FileDigest: Hashable, Sendable {
  package let length: Int
  /// 64 lower-case hexadecimal digits.
  package let sha256: String

  package init(length: Int, sha256: String) { (self.length, self.sha256) = (length, sha256) }

  /// Reads the whole file and hashes it.
  ///
  /// Reads instead of mapping, so that an unreadable disk block is an error here and not a signal later.
  /// - Throws: `CheckpointError` if the file cannot be read to its end.
  package init(ofFileAt path: String) throws(CheckpointError) {
    let file = try ReadableFile(path)
    posix_fadvise(file.descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    var hash = SHA256()
    var length = 0
    while true {
      let count = try system("read", path) { read(file.descriptor, buffer.baseAddress, buffer.count) }
      if count == 0 { break }
      hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      length += count
    }
    self.init(length: length, sha256: hexadecimal(hash.finalize()))
  }
}

/// Bytes as lower-case hexadecimal digits.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  let text = bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
  return String(decoding: text, as: UTF8.self)
}
