/// One message of one rank, as an error tells of it. Ranks are ranks of the world.
package struct MessageDescription: Hashable, Sendable {
  package enum Direction: String, Sendable { case send, receive }
  package var direction: Direction
  package var purpose: Purpose
  /// The communicator on which it travels.
  package var communicator: String
  package var rank: Int
  package var host: String
  package var peer: Int
  package var peerHost: String
  package var bytes: Int
}

extension MessageDescription: CustomStringConvertible {
  /// As in "dispatch, layer 3: 64 bytes from rank 2 (node-b), in group expert".
  package var description: String {
    let way = direction == .send ? "to" : "from"
    return "\(purpose): \(bytes) bytes \(way) rank \(peer) (\(peerHost)), in group \(communicator)"
  }
}

/// What a user or a machine can do wrong between ranks.
package enum CommunicationError: Error, Sendable {
  /// A wait ended without its messages: those that were still under way, and how long it was waited for them.
  case timeout(waitingFor: [MessageDescription], seconds: Double)
  /// Sender and receiver do not agree on the length; `arrived` is nil where more came than there was room for.
  case lengthMismatch(MessageDescription, expected: Int, arrived: Int?)
  /// A function of the MPI library failed.
  case library(function: String, code: Int, message: String)
  /// The numbers of the process grid do not fit.
  case grid(faults: [String])
  /// The ranks could not be brought together.
  case startup(String)
  /// Other ranks of the node do not give back what they were lent.
  case loans(String)
  /// Another rank of this process has failed.
  case peerFailed(rank: Int, reason: String)
  /// The world was closed while messages were under way, or some had been given up.
  case unfinished([MessageDescription])
}

extension CommunicationError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .timeout(let messages, let seconds):
      "nothing came in \(Self.rounded(seconds)) s\(Self.list(messages))\n"
        + "  see what that rank does, or raise communication.timeout if it only needs longer"
    case .lengthMismatch(let message, let expected, let arrived):
      "\(message): \(arrived.map { "\($0) bytes" } ?? "more") arrived where \(expected) were expected; "
        + "do all ranks have the same configuration?"
    case .library(let function, let code, let message):
      "\(function) failed with code \(code): \(message)"
    case .grid(let faults):
      "the ranks do not fit the configuration: " + faults.joined(separator: "; ")
    case .startup(let reason): reason
    case .loans(let reason):
      "\(reason); with communication.shared_memory: false rows are sent as messages instead"
    case .peerFailed(let rank, let reason): "rank \(rank) has failed: \(reason)"
    case .unfinished(let messages):
      "\(messages.count) messages were still under way at the end\(Self.list(messages))"
    }
  }

  /// The first few, a line each: a rank may wait for a message of each of a thousand.
  static func list(_ messages: [MessageDescription]) -> String {
    let shown = 8
    var text = messages.prefix(shown).map { "\n  \($0)" }.joined()
    if messages.count > shown { text += "\n  and \(messages.count - shown) more" }
    return text
  }

  static func rounded(_ seconds: Double) -> Double { (seconds * 10).rounded() / 10 }
}
