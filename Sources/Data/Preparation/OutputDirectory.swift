internal import Foundation
internal import Glibc

/// The directory of a prepared corpus, filled aside and then put in place.
///
/// Files are made in a hidden directory inside it, so that moving them is a rename. `install` moves them,
/// `corpus.json` as the last one: a directory without it is not a prepared corpus. If nothing is installed, nothing
/// is left; what a killed program left is removed by the next one.
final class OutputDirectory {
  static let fileNames = [
    "tokenizer.json", "train.txt", "validation.txt", "train.tokens", "validation.tokens", "corpus.json",
  ]

  private let path: String
  private let staging: String
  private let existed: Bool
  private let overwrite: Bool

  /// - Throws: `PreparationError` when the directory holds something and may not be overwritten, or cannot be made.
  init(_ path: String, overwrite: Bool) throws(PreparationError) {
    self.path = path
    self.overwrite = overwrite
    staging = AtomicFile.temporaryPath(for: "\(path)/")
    let contents: [String]?
    do {
      contents = try OutputDirectory.contents(of: path)
    } catch {
      throw .file(error)
    }
    existed = contents != nil
    guard overwrite || OutputDirectory.isEmpty(contents ?? []) else { throw .outputNotEmpty(path: path) }
    do {
      try OutputDirectory.removeAbandoned(contents ?? [], in: path)
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
  /// - Throws: `PreparationError`, also when another program has filled the directory meanwhile.
  func install() throws(PreparationError) {
    let contents: [String]?
    do {
      contents = try OutputDirectory.contents(of: path)
    } catch {
      throw .file(error)
    }
    guard overwrite || OutputDirectory.isEmpty(contents ?? []) else { throw .outputNotEmpty(path: path) }
    do {
      try moveIntoPlace()
    } catch {
      throw .file(error)
    }
  }

  private func moveIntoPlace() throws(FileError) {
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

  /// The process that the staging directory of this name belongs to; nil for any other name.
  private static func owner(of name: String) -> pid_t? {
    let prefix = ".partial-"
    return name.hasPrefix(prefix) ? pid_t(name.dropFirst(prefix.count)).flatMap { $0 > 0 ? $0 : nil } : nil
  }

  /// Whether there is nothing but staging directories.
  private static func isEmpty(_ contents: [String]) -> Bool { contents.allSatisfy { owner(of: $0) != nil } }

  /// Removes the staging directories of programs that no longer run.
  private static func removeAbandoned(_ contents: [String], in path: String) throws(FileError) {
    for name in contents {
      guard let owner = owner(of: name), !isAnother(owner) else { continue }
      do {
        try FileManager.default.removeItem(atPath: "\(path)/\(name)")
      } catch {
        throw FileError("remove", "\(path)/\(name)", code: systemCode(of: error))
      }
    }
  }

  /// Whether a process runs that is not this one. In containers a new program often has the number of the killed one.
  private static func isAnother(_ process: pid_t) -> Bool {
    process != getpid() && (kill(process, 0) == 0 || errno == EPERM)
  }

  private static func systemCode(of error: any Error) -> Int32 {
    let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
    return Int32(underlying?.code ?? Int(EACCES))
  }

  private static func makeDirectory(_ path: String) throws(FileError) {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw FileError("create directory", path, code: systemCode(of: error))
    }
  }
}
