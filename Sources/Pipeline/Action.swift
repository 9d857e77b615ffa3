// Letters, in tokens and in comments:
//   F forward   B whole backward = I + W   I gradient of the input   W gradient of the weights
//   P ranks     M micro-batches            r a rank

/// One micro-batch in one slot of a rank.
package struct Cell: Hashable, Sendable {
  /// Which of the rank's stages: an index into what ``Placement`` gives the rank. In DualPipe, the direction.
  package var slot: Int
  /// Counted from 0 on each route; ``Schedule/globalMicrobatch(of:on:)`` counts over all routes.
  package var microbatch: Int

  package init(slot: Int, microbatch: Int) { (self.slot, self.microbatch) = (slot, microbatch) }
}

/// One thing that a rank computes. Messages follow from the cells and are not listed.
package enum Action: Hashable, Sendable {
  case forward(Cell)
  /// Input and weight gradients at once.
  case backward(Cell)
  /// The part of backward that the rank before waits for; its ``weightGradient(_:)`` comes later.
  case inputGradient(Cell)
  case weightGradient(Cell)
  /// A forward and a whole backward of two cells, in a simulation begun together when both may begin. Of two strands
  /// the backward begins where it needs no gradient, else the forward; the other waits for its own message.
  case overlapped(forward: Cell, backward: Cell)
}

extension Action {
  /// The cell whose forward this is: takes an activation in and sends one on.
  package var forwardCell: Cell? {
    switch self {
    case .forward(let cell), .overlapped(forward: let cell, backward: _): cell
    case .backward, .inputGradient, .weightGradient: nil
    }
  }

  /// The cell whose input gradient this computes: takes a gradient in and sends one back.
  package var gradientCell: Cell? {
    switch self {
    case .backward(let cell), .inputGradient(let cell), .overlapped(forward: _, backward: let cell): cell
    case .forward, .weightGradient: nil
    }
  }

  /// The cell whose weight gradients this computes: its activations are free afterwards.
  package var weightCell: Cell? {
    switch self {
    case .backward(let cell), .weightGradient(let cell), .overlapped(forward: _, backward: let cell): cell
    case .forward, .inputGradient: nil
    }
  }
}

extension Cell: CustomStringConvertible {
  /// `0.3`: slot, micro-batch.
  package var description: String { "\(slot).\(microbatch)" }

  fileprivate init?(_ text: Substring) {
    let numbers = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.count == 2, let slot = numbers[0], let microbatch = numbers[1] else { return nil }
    self.init(slot: slot, microbatch: microbatch)
  }
}

extension Action: LosslessStringConvertible {
  /// The token: `F0.3`, `B0.3`, `I0.3`, `W0.3`, `F0.3&B1.1`.
  package var description: String {
    switch self {
    case .forward(let cell): "F\(cell)"
    case .backward(let cell): "B\(cell)"
    case .inputGradient(let cell): "I\(cell)"
    case .weightGradient(let cell): "W\(cell)"
    case .overlapped(let forward, let backward): "F\(forward)&B\(backward)"
    }
  }

  /// Reads a token; nil for any other text, also for numbers written in another way (`F0.03`, `F0.+3`).
  package init?(_ token: String) {
    let parts = token.split(separator: "&", omittingEmptySubsequences: false)
    guard let first = parts.first.flatMap({ Cell($0.dropFirst()) }) else { return nil }
    switch parts.map({ $0.prefix(1) }) {
    case ["F"]: self = .forward(first)
    case ["B"]: self = .backward(first)
    case ["I"]: self = .inputGradient(first)
    case ["W"]: self = .weightGradient(first)
    case ["F", "B"]:
      guard let backward = Cell(parts[1].dropFirst()) else { return nil }
      self = .overlapped(forward: first, backward: backward)
    default: return nil
    }
    if description != token { return nil }
  }
}
