internal import Foundation

/// One line of progress, in ASCII, so that a character is a column.
struct ProgressLine: Hashable {
  var step: Int
  var steps: Int
  /// The objective, in nats.
  var loss: Double
  /// nil when the bytes of a token are not known.
  var bitsPerByte: Double?
  var tokensPerSecond: Double
  var learningRate: Double
  /// nil when not known yet.
  var secondsLeft: Double?
  var peakMemoryBytes: Int

  /// A part of the line; in a narrow terminal, those with the highest `rank` go first.
  private struct Part {
    var text: String
    var rank: Int
  }

  private var parts: [Part] {
    var parts = [
      Part(text: "step \(step)/\(steps)", rank: 0),
      Part(text: String(format: "loss %.4f", loss), rank: 1),
    ]
    if let bitsPerByte { parts.append(Part(text: String(format: "bits/byte %.3f", bitsPerByte), rank: 3)) }
    parts.append(Part(text: String(format: "tokens/s %.0f", tokensPerSecond), rank: 4))
    parts.append(Part(text: String(format: "lr %.2e", learningRate), rank: 5))
    if let secondsLeft {
      parts.append(Part(text: "left \(ProgressText.time(seconds: secondsLeft))", rank: 2))
    }
    parts.append(Part(text: "memory \(ProgressText.memory(bytes: peakMemoryBytes))", rank: 6))
    return parts
  }

  /// The line, as much of it as `width` columns hold; all of it for nil.
  func text(width: Int? = nil) -> String {
    var parts = parts
    func joined() -> String { parts.map(\.text).joined(separator: "  ") }
    guard let width else { return joined() }
    while parts.count > 1, joined().utf8.count > width {
      let last = parts.indices.max { parts[$0].rank < parts[$1].rank }!
      parts.remove(at: last)
    }
    return String(joined().prefix(max(0, width)))
  }
}
