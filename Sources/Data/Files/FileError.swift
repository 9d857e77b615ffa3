internal import Glibc

/// A system call on a file that failed: what was tried, on which path, and the system's reason.
package struct FileError: Error, Hashable, CustomStringConvertible {
  /// What was tried, as a verb: "open", "write", …
  package let action: String
  package let path: String
  /// The value of `errno`.
  package let code: Int32

  package init(_ action: String, _ path: String, code: Int32) {
    self.action = action
    self.path = path
    self.code = code
  }

  package var description: String {
    let advice =
      switch code {
      case ENOSPC, EDQUOT: "; free space there or choose another place"
      case EACCES, EPERM, EROFS: "; change its permissions or choose another place"
      default: ""
      }
    return "cannot \(action) \(path): \(String(cString: strerror(code)))\(advice)"
  }

  /// Turns the result of a system call into an error when it says −1. The only reader of `errno` here.
  @discardableResult
  static func check<Value: BinaryInteger>(
    _ action: String, _ path: String, _ call: () -> Value
  ) throws(FileError) -> Value {
    while true {
      let value = call()
      if value != -1 { return value }
      if errno != EINTR { throw FileError(action, path, code: errno) }
    }
  }
}
