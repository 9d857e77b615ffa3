/// What a message carries: the heading under which its bytes are counted.
package enum MessageKind: Int, Hashable, Sendable, CaseIterable {
  /// Tokens on their way to their experts, and gradients of their results.
  case dispatch
  /// Results on their way back from the experts, and gradients of tokens.
  case combine
  /// Gradients of parameters, to be summed.
  case gradients
  /// Parameters after an update, or at the start.
  case parameters
  /// Activations and their gradients between the stages of a pipeline.
  case activations
  /// Counts, metrics, barriers: small, and no part of the model.
  case control
}

/// Why a message travels: what a person reads when a wait ends without it.
package struct Purpose: Hashable, Sendable {
  /// What the message is part of, as in "dispatch".
  package var operation: String
  package var kind: MessageKind
  package var layer: Int?
  package var microBatch: Int?

  package init(_ operation: String, _ kind: MessageKind, layer: Int? = nil, microBatch: Int? = nil) {
    (self.operation, self.kind, self.layer, self.microBatch) = (operation, kind, layer, microBatch)
  }
}

extension Purpose: CustomStringConvertible {
  /// As in "dispatch, layer 3, micro-batch 1".
  package var description: String {
    var words = operation
    if let layer { words += ", layer \(layer)" }
    if let microBatch { words += ", micro-batch \(microBatch)" }
    return words
  }
}
