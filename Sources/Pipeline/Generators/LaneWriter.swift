/// Writes one lane and numbers its micro-batches: in each slot forwards and backwards count up from 0, and a
/// weight gradient is always the oldest that is owed.
struct LaneWriter {
  private(set) var actions: [Action] = []
  private var forwards: [Int]
  private var backwards: [Int]
  private var owed: [Cell] = []
  /// Of `owed`, those that have been done.
  private var paid = 0

  init(slots: Int) {
    forwards = Array(repeating: 0, count: slots)
    backwards = forwards
  }

  /// Weight gradients that have been put off and are not done.
  var debt: Int { owed.count - paid }

  mutating func forward(_ slot: Int = 0) { actions.append(.forward(nextForward(slot))) }

  mutating func backward(_ slot: Int = 0) { actions.append(.backward(nextBackward(slot))) }

  mutating func inputGradient(_ slot: Int = 0) {
    let cell = nextBackward(slot)
    owed.append(cell)
    actions.append(.inputGradient(cell))
  }

  mutating func weightGradient() {
    precondition(debt > 0, "no weight gradient is owed after \(actions.count) actions")
    actions.append(.weightGradient(owed[paid]))
    paid += 1
  }

  mutating func overlapped(forward: Int, backward: Int) {
    actions.append(.overlapped(forward: nextForward(forward), backward: nextBackward(backward)))
  }

  /// Does the same `count` times.
  mutating func times(_ count: Int, _ body: (inout LaneWriter) -> Void) {
    precondition(count >= 0, "\(count) times")
    for _ in 0..<count { body(&self) }
  }

  private mutating func nextForward(_ slot: Int) -> Cell {
    defer { forwards[slot] += 1 }
    return Cell(slot: slot, microbatch: forwards[slot])
  }

  private mutating func nextBackward(_ slot: Int) -> Cell {
    defer { backwards[slot] += 1 }
    return Cell(slot: slot, microbatch: backwards[slot])
  }
}
