internal import Glibc

/// A file of metrics or events that cannot be read, written or believed.
package struct ReportingError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What went wrong, for a program to switch on.
  package enum Kind: Hashable, Sendable {
    /// The operating system refused; the code is an `errno` (`ENOSPC`, `EROFS`, …).
    case system(Int32)
    /// A line (counted from 1) that is no record, with records after it.
    case malformed(line: Int)
  }

  package var kind: Kind
  /// The file or directory concerned.
  package var path: String
  /// What happened and what to do, for a person.
  package var message: String

  package var description: String { "\(path): \(message)" }

  /// The error for an `errno` code that was met while doing `action` ("write", "create", …).
  static func system(_ code: Int32, _ action: String, _ path: String) -> ReportingError {
    let advice =
      switch code {
      case ENOSPC, EDQUOT: "; free space there or choose another run.directory"
      case EACCES, EPERM, EROFS: "; change its permissions or choose another run.directory"
      default: ""
      }
    return ReportingError(
      kind: .system(code), path: path,
      message: "cannot \(action): \(String(cString: strerror(code)))\(advice)")
  }

  /// Repeats an interrupted call, and turns a result of −1 into an error.
  ///
  /// - Throws: `ReportingError` of kind `.system`.
  @discardableResult
  static func check<Result: FixedWidthInteger>(
    _ action: String, _ path: String, _ call: () -> Result
  ) throws(ReportingError) -> Result {
    while true {
      let result = call()
      guard result == -1 else { return result }
      let code = errno
      if code != EINTR { throw system(code, action, path) }
    }
  }
}
