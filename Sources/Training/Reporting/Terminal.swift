internal import Glibc

/// What a descriptor can show: whether a line can be written over, and how wide it may be.
package struct Terminal: Sendable {
  private let descriptor: Int32
  /// A terminal that understands control characters; a pipe, a file and a dumb terminal are none.
  package let canRewrite: Bool

  package init(_ descriptor: Int32) {
    self.descriptor = descriptor
    let name = getenv("TERM").map { String(cString: $0) } ?? ""
    canRewrite = isatty(descriptor) == 1 && !["", "dumb"].contains(name)
  }

  /// To the first column, and nothing from there to the end of the line (ECMA-48: CR, EL).
  package static let erase = "\r\u{1B}[K"

  /// Columns that a line may fill: one stays free, because some terminals go to the next line as soon as the last one
  /// is filled. Asked each time, because a window may change; 80 columns where the terminal does not know.
  package var lineWidth: Int {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 79 }
    return Int(size.ws_col) - 1
  }
}
