internal import Foundation
internal import Training

/// A line on stderr that is written over, of ASCII text; nothing where stderr is no terminal that can do so.
struct StatusLine {
  private let terminal = Terminal(STDERR_FILENO)
  private var isShown = false

  mutating func show(_ text: String) {
    guard terminal.canRewrite else { return }
    write(Terminal.erase + text.prefix(terminal.lineWidth))
    isShown = true
  }

  /// Removes the line.
  mutating func clear() {
    guard isShown else { return }
    write(Terminal.erase)
    isShown = false
  }

  /// What cannot be written is dropped: work goes on when nobody watches it.
  private func write(_ text: String) {
    try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
  }
}
