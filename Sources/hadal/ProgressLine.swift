internal import Foundation

/// A line on stderr that is written over; nothing where stderr is no terminal.
struct ProgressLine {
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private var width = 0

  mutating func show(_ text: String) {
    guard isTerminal else { return }
    let line = "\r" + text + String(repeating: " ", count: max(0, width - text.count))
    width = text.count
    FileHandle.standardError.write(Data(line.utf8))
  }

  /// Removes the line.
  mutating func clear() {
    guard width > 0 else { return }
    show("")
    FileHandle.standardError.write(Data("\r".utf8))
  }
}
