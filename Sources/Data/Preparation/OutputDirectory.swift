internal import Foundation
internal import Glibc

/// The directory of a prepared corpus, filled aside and then put in place.
///
/// Files are made in a hidden directory inside it, so that moving them is a rename. `install` moves them,
/// `corpus.json` as the last one: a directory without it is not a prepared corpus. If nothing is installed, nothing
/// is left.
final class OutputDirectory {
  static let fileNames = [
    "tokenizer.json", "train.txt", "validation.txt", "train.tokens", "validation.tokens", "corpus.json",
  ]

  private let path: String
  private let staging: String
  private let existed: Bool

  /// - Throws: `PreparationError` when the directory holds something and may not be overwritten, or cannot be made.
  init(_ path: String, overwrite: Bool) throws(PreparationError) {
    self.path = path
    staging = AtomicFile.temporaryPath(for: "\(path)/")
    let contents: [String]?
    do {
      contents = try OutputDirectory.contents(of: path)
    } catch {
      throw .file(error)
    }
    existed = contents != nil
    guard overwrite || contents?.isEmpty != false else { throw .outputNotEmpty(path: path) }
    do {
      try OutputDirectory.makeDirectory(staging)
    } catch {
      throw .file(error)
    }
  }

  deinit {
    try? FileManager.default.removeItem(atPath: staging)
    // Refused by the system when the directory holds the installed files.
    if !existed { rmdir(path) }
  }

  /// Where a file is made.
  func stagingPath(of name: String) -> String { "\(staging)/\(name)" }

  /// Moves all files that were made into place and removes those of an earlier corpus.
  func install() throws(FileError) {
    // Without corpus.json the mixture of two corpora, should this be interrupted, is not taken for one.
    unlink("\(path)/corpus.json")
    for name in OutputDirectory.fileNames {
      let target = "\(path)/\(name)"
      if access(stagingPath(of: name), F_OK) == 0 {
        try FileError.check("move into place", target) { rename(self.stagingPath(of: name), target) }
      } else if access(target, F_OK) == 0 {
        try FileError.check("remove", target) { unlink(target) }
      }
    }
    try AtomicFile.synchronizeDirectory(of: "\(path)/corpus.json")
  }

  /// The names in a directory, or nil when there is none.
  private static func contents(of path: String) throws(FileError) -> [String]? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw FileError("use as a directory", path, code: ENOTDIR)
    }
    do {
      return try FileManager.default.contentsOfDirectory(atPath: path)
    } catch {
      throw FileError("list", path, code: EACCES)
    }
  }

  private static func makeDirectory(_ path: String) throws(FileError) {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
      throw FileError("create directory", path, code: Int32(underlying?.code ?? Int(EACCES)))
    }
  }
}
