internal import Foundation
internal import Glibc

/// The files of a document source, in an order that depends on their names alone.
///
/// Paths are taken as given and may be links. Inside directories symbolic links, names that start with a dot and the
/// extensions to skip are passed over and counted; names are ordered by their bytes.
package struct FileList: Hashable, Sendable {
  package private(set) var files: [String] = []
  package private(set) var skipped = 0
  /// The length of all files.
  package private(set) var bytes = 0

  /// - Throws: `DocumentError` when a path is missing or neither file nor directory, or nothing is left to read.
  package init(_ source: DocumentSource) throws(DocumentError) {
    let skippedExtensions = Set(source.skippedExtensions)
    do {
      for path in source.paths { try add(path, skippedExtensions) }
    } catch {
      throw .file(error)
    }
    guard !files.isEmpty else { throw .noFiles(paths: source.paths, skipped: skipped) }
  }

  private mutating func add(_ path: String, _ skippedExtensions: Set<String>) throws(FileError) {
    var status = stat()
    try FileError.check("read", path) { stat(path, &status) }
    switch status.st_mode & S_IFMT {
    case S_IFREG:
      files.append(path)
      bytes += Int(status.st_size)
    case S_IFDIR:
      for name in try FileList.names(in: path) {
        let child = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
        try FileError.check("read", child) { lstat(child, &status) }
        let isLink = status.st_mode & S_IFMT == S_IFLNK
        let isFile = status.st_mode & S_IFMT == S_IFREG
        let hasSkippedExtension = isFile && skippedExtensions.contains((name as NSString).pathExtension)
        if isLink || name.hasPrefix(".") || hasSkippedExtension {
          skipped += 1
        } else {
          try add(child, skippedExtensions)
        }
      }
    default: throw FileError("read as a file or directory", path, code: EINVAL)
    }
  }

  private static func names(in directory: String) throws(FileError) -> [String] {
    guard let stream = opendir(directory) else { throw FileError("list", directory, code: errno) }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: Int(entry.pointee.d_reclen)) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
