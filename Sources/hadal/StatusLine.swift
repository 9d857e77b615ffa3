internal import Foundation

/// A line on stderr that is written over, of ASCII text; nothing where stderr is no terminal that can do so.
struct StatusLine {
  private let isTerminal =
    isatty(STDERR_FILENO) == 1
    && !["", "dumb"].contains(ProcessInfo.processInfo.environment["TERM"] ?? "")
  private var isShown = false
  /// To the first column, and nothing from there to the end of the line (ECMA-48: CR, EL).
  private static let erase = "\r\u{1B}[K"

  mutating func show(_ text: String) {
    guard isTerminal else { return }
    // One column stays free: some terminals go to the next line as soon as the last one is filled.
    write(Self.erase + text.prefix(max(0, columns - 1)))
    isShown = true
  }

  /// Removes the line.
  mutating func clear() {
    guard isShown else { return }
    write(Self.erase)
    isShown = false
  }

  /// Asked each time, because a window may change.
  private var columns: Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// What cannot be written is dropped: work goes on when nobody watches it.
  private func write(_ text: String) {
    try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
  }
}
