internal import Crypto

/// A file's length and SHA-256: how a checkpoint knows that a file is whole.
package struct FileDigest: Hashable, Sendable {
  package let length: Int
  /// 64 lower-case hexadecimal digits.
  package let sha256: String

  package init(length: Int, sha256: String) { (self.length, self.sha256) = (length, sha256) }

  /// Reads the whole file and hashes it.
  ///
  /// - Parameter staysCached: whether the file should stay in the page cache.
  /// - Throws: `CheckpointError` if it cannot be read to its end.
  package init(ofFileAt path: String, staysCached: Bool = false) throws(CheckpointError) {
    try self.init(ofFileAt: path, length: nil, staysCached: staysCached)
  }

  /// Reads and hashes the file beside other work on its blocks.
  ///
  /// - Parameters:
  ///   - length: how long it should be; nil for as long as it is.
  ///   - then: what else every block goes through, on a thread of its own.
  /// - Throws: `CheckpointError` if it cannot be read, or ends before that.
  init(
    ofFileAt path: String, length: Int?, staysCached: Bool, then: (@Sendable (FileBlock) -> Void)? = nil
  ) throws(CheckpointError) {
    let file = try BlockReader(path, length.map { [0..<$0] }, staysCached: staysCached)
    var hash = SHA256()
    try file.read(then: then) { hash.update(bufferPointer: $0.bytes) }
    self.init(length: file.length, sha256: hexadecimal(hash.finalize()))
  }
}

/// Bytes as lower-case hexadecimal digits.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  let text = bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
  return String(decoding: text, as: UTF8.self)
}
