internal import Glibc

/// A file or directory of weights that cannot be read, written or believed.
package struct CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What went wrong, for a program to switch on.
  package enum Kind: Equatable, Sendable {
    /// The operating system refused; the code is an `errno` (`ENOSPC`, `EROFS`, …).
    case system(Int32)
    /// The content is not what its format allows.
    case malformed
    /// The content was valid once: its length or hash is no longer the recorded one.
    case damaged
    /// A file, checkpoint or tensor that should exist does not.
    case missing
    /// Written in a format that this version does not know, or asked for in a way it does not offer.
    case unsupported
  }

  package var kind: Kind
  /// The file or directory concerned.
  package var path: String
  /// What happened and what to do, for a person.
  package var message: String

  package init(_ kind: Kind, path: String, _ message: String) {
    (self.kind, self.path, self.message) = (kind, path, message)
  }

  package var description: String { "\(path): \(message)" }
}

extension CheckpointError {
  /// With how much space is needed and free, if the disk was full.
  func withSpace(needed bytes: Int, in directory: String) -> CheckpointError {
    guard [.system(ENOSPC), .system(EDQUOT), .system(EFBIG)].contains(kind) else { return self }
    var error = self
    error.message += "; \(bytes) bytes are needed for the tensors"
    var status = statvfs()
    if statvfs(directory, &status) == 0 {
      // What this user may still write.
      let free = UInt64(status.f_bavail) * UInt64(status.f_frsize)
      error.message += ", the file system has \(free) free"
    }
    return error
  }
}

/// Text from a file as it may stand in a message: in quotes, printable, at most 80 characters of it.
func quoted(_ text: String) -> String {
  let shown = text.unicodeScalars.prefix(80).map { scalar in
    scalar.value < 0x20 || scalar.value == 0x7f ? "?" : String(scalar)
  }
  return "\"\(shown.joined())\(text.unicodeScalars.count > 80 ? "…" : "")\""
}

/// The first few of many things to name, and how many more there are.
func summary(_ items: [String], separator: String = ", ", limit: Int = 8) -> String {
  let more = items.count > limit ? "\(separator)and \(items.count - limit) more" : ""
  return items.prefix(limit).joined(separator: separator) + more
}

/// The one place where an `errno` becomes a Swift error: repeats an interrupted call, throws if it failed.
///
/// - Parameter action: What was tried, in the infinitive: "write", "open for reading".
/// - Throws: `CheckpointError` of kind `.system`.
@discardableResult
func system<Result: FixedWidthInteger>(
  _ action: String, _ path: String, _ call: () -> Result
) throws(CheckpointError) -> Result {
  while true {
    let result = call()
    guard result == -1 else { return result }
    let code = errno
    if code != EINTR { throw systemError(code, action, path) }
  }
}

/// The error for an `errno` code that was met while doing `action`.
func systemError(_ code: Int32, _ action: String, _ path: String) -> CheckpointError {
  CheckpointError(.system(code), path: path, "cannot \(action): \(String(cString: strerror(code)))")
}
