internal import Checkpoint
internal import Foundation
internal import Tensors

/// The file that a probe writes: whole or not at all.
struct ProbeOutput {
  private let path: String
  private let partial: String

  /// - Throws: `ProbeError` when the directory is not there: better now than after the work.
  init(path: String) throws(ProbeError) {
    let url = URL(fileURLWithPath: path)
    var isDirectory: ObjCBool = false
    let directory = url.deletingLastPathComponent().path
    guard FileManager.default.fileExists(atPath: directory, isDirectory: &isDirectory), isDirectory.boolValue
    else {
      throw ProbeError(path: path, message: "its directory does not exist; make it first")
    }
    if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
      throw ProbeError(path: path, message: "is a directory; name a file")
    }
    self.path = path
    // The process number keeps two programs that write the same file apart.
    partial = "\(path).partial-\(ProcessInfo.processInfo.processIdentifier)"
  }

  /// - Throws: `CheckpointError`; nothing half-written is left.
  func write(_ tensors: [NamedTensor]) throws(CheckpointError) {
    let byName = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.tensor) })
    let writer = try SafetensorsWriter(tensors.map(\.record))
    let files = PosixFileSystem()
    do throws(CheckpointError) {
      try writer.write(to: partial) { (name, write) throws(CheckpointError) in
        guard let tensor = byName[name] else { preconditionFailure("no tensor \(name) to write") }
        try write(tensor.bytes)
      }
      try files.rename(partial, to: path)
    } catch {
      try? files.removeFile(partial)  // `error` says why; a second one would only hide it
      var failure = error
      (failure.path, failure.message) = (path, "\(error.message); nothing of it is left")
      throw failure
    }
  }
}
