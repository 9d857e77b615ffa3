internal import Autograd
package import Model
package import Tensors

/// Runs a model over one sequence piece by piece; keys and values of what went before are kept.
package final class CachedDecoder {
  private let model: DeepSeek
  private let cache: KeyValueCache
  private let table: RotaryTable

  /// - Parameter capacity: the longest that the sequence may get, in tokens.
  package init(_ model: DeepSeek, capacity: Int) {
    self.model = model
    cache = KeyValueCache(capacity: capacity)
    table = model.rotaryTable(capacity)
  }

  package var capacity: Int { cache.capacity }
  /// Tokens that the model has seen.
  package var count: Int { cache.count }

  /// Shows the next tokens to the model: the whole prompt, then one at a time.
  ///
  /// - Returns: the logits after the last of them, `[V]` float32.
  package func advance(_ tokens: [Int32]) -> Tensor {
    precondition(!tokens.isEmpty, "no tokens to advance by")
    let tape = Tape(on: model.device, isRecording: false)
    let context = ForwardContext(
      tape: tape, sequences: 1, length: tokens.count, table: table, cache: cache)
    let hidden = model.hiddenStates(tokens, context).value
    let last = hidden.view(at: (tokens.count - 1) * hidden.columns, [1, hidden.columns])
    return model.logits(last).reshaped([model.configuration.vocabSize])
  }
}

@available(*, unavailable)
extension CachedDecoder: Sendable {}
