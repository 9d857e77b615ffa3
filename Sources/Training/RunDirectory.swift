package import Data
internal import Foundation

/// The files of a run beside its checkpoints: the resolved configuration and the tokenizer.
package struct RunDirectory {
  package let path: String

  /// Makes the directory and writes `config.yaml` and `tokenizer.json` into it.
  /// - Throws: `FileError`, for instance when the disk is full.
  package init(_ trainer: Trainer) throws(FileError) {
    path = trainer.configuration.runDirectory
    try Self.makeDirectory(path)
    try write(trainer.configuration.yaml().utf8, to: "config.yaml")
    guard let tokenizer = trainer.data.tokenizerPath else { return }
    try write(try MappedFile.bytes(of: tokenizer), to: "tokenizer.json")
  }

  private func write(_ bytes: some Sequence<UInt8>, to name: String) throws(FileError) {
    let file = try AtomicFile("\(path)/\(name)")
    try file.write(bytes)
    try file.commit()
  }

  /// Makes a directory and those above it, as far as they are missing.
  private static func makeDirectory(_ path: String) throws(FileError) {
    var isDirectory: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
    if exists, isDirectory.boolValue { return }
    if mkdir(path, 0o777) == 0 { return }
    let code = errno
    let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
    guard code == ENOENT, parent != path else { throw FileError("create directory", path, code: code) }
    try makeDirectory(parent)
    if mkdir(path, 0o777) != 0 { throw FileError("create directory", path, code: errno) }
  }
}
