/// Weight gradients that wait until there is nothing else to compute.
///
/// Nobody waits for them before the update, so they fill the time in which messages travel. They run oldest first,
/// whoever runs them: the order of the sums stays as it is. Source: Qi et al., arXiv:2401.10241 (backward in two
/// parts); DeepSeek-V3, arXiv:2412.19437, §3.2.1.
package final class WeightQueue {
  /// Oldest first, with the number of messages that were sent before.
  private var waiting: [(work: WeightWork, message: Int)] = []
  private var messages = 0

  /// Messages of a whole backward that its works wait through at most: four are two layers with experts. Older works
  /// hold memory (the gradient of an output, and the inputs) and would hide no more.
  private static let depth = 4

  package init() {}

  package var isEmpty: Bool { waiting.isEmpty }

  func add(_ work: WeightWork) { waiting.append((work, messages)) }

  /// A message has been sent backward: those that have waited for long are run while it travels.
  func messageWasSent() {
    messages += 1
    while let oldest = waiting.first, oldest.message + Self.depth < messages { runNext() }
  }

  /// Runs the oldest; false where there is none.
  @discardableResult
  package func runNext() -> Bool {
    guard !waiting.isEmpty else { return false }
    waiting.removeFirst().work.run()
    return true
  }

  package func runAll() { while runNext() {} }
}

@available(*, unavailable)
extension WeightQueue: Sendable {}
