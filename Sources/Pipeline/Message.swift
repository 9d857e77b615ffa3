/// What travels between two places: it follows from the cells, and no schedule lists it.
package struct Message: Hashable, Sendable {
  package enum Kind: Int, Hashable, Sendable, CaseIterable {
    /// The output of a forward, to the next stage.
    case activation
    /// The gradient of that output, back.
    case gradient
  }

  package var kind: Kind
  package var from: Place
  package var to: Place
  /// On its route.
  package var microbatch: Int
  /// Names the message among all between two ranks in a step: kind, receiving slot and micro-batch in one
  /// number, from 0 and less than 2 x slots x micro-batches of a route.
  package var tag: Int

  /// The two places are on one rank: nothing to send.
  package var isLocal: Bool { from.rank == to.rank }
}

extension Message: CustomStringConvertible {
  /// As in "activation of micro-batch 3, rank 1 slot 0 to rank 2 slot 0".
  package var description: String {
    "\(kind) of micro-batch \(microbatch), rank \(from.rank) slot \(from.slot) to "
      + "rank \(to.rank) slot \(to.slot)"
  }
}

extension Placement {
  /// What the action must have before it can begin: of a forward first, then of a backward.
  package func messages(receivedBy action: Action, on rank: Int) -> [Message] {
    [
      action.forwardCell.flatMap { activation(into: $0, on: rank) },
      action.gradientCell.flatMap { gradient(into: $0, on: rank) },
    ].compactMap { $0 }
  }

  /// What the action sends when it is done: of a forward first, then of a backward.
  package func messages(sentBy action: Action, on rank: Int) -> [Message] {
    [
      action.forwardCell.flatMap { cell in
        place(after: Place(rank: rank, slot: cell.slot)).flatMap {
          activation(into: Cell(slot: $0.slot, microbatch: cell.microbatch), on: $0.rank)
        }
      },
      action.gradientCell.flatMap { cell in
        place(before: Place(rank: rank, slot: cell.slot)).flatMap {
          gradient(into: Cell(slot: $0.slot, microbatch: cell.microbatch), on: $0.rank)
        }
      },
    ].compactMap { $0 }
  }

  private func activation(into cell: Cell, on rank: Int) -> Message? {
    let to = Place(rank: rank, slot: cell.slot)
    return place(before: to).map { message(.activation, $0, to, cell.microbatch) }
  }

  private func gradient(into cell: Cell, on rank: Int) -> Message? {
    let to = Place(rank: rank, slot: cell.slot)
    return place(after: to).map { message(.gradient, $0, to, cell.microbatch) }
  }

  private func message(_ kind: Message.Kind, _ from: Place, _ to: Place, _ microbatch: Int) -> Message {
    let tag = (microbatch * slots + to.slot) * Message.Kind.allCases.count + kind.rawValue
    return Message(kind: kind, from: from, to: to, microbatch: microbatch, tag: tag)
  }
}
