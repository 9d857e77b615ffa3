/// Why text cannot be generated.
package enum GenerationError: Error, Hashable, CustomStringConvertible {
  case temperature(Double)
  case topP(Double)
  case tokenLimit(Int)
  /// The model's logits at a position are no numbers to choose by.
  case notFinite(position: Int)
  /// The prompt, counted with the token before it, does not fit.
  case promptTooLong(tokens: Int, context: Int)
  /// The tokenizer was made for another model.
  case vocabulary(tokenizer: Int, model: Int)
  case noTokenizer(places: [String])

  package var description: String {
    switch self {
    case .temperature(let value):
      "the temperature (\(value)) must be a finite number of at least 0 (0: greedy)"
    case .topP(let value): "top-p (\(value)) must be above 0 and at most 1 (1: all tokens)"
    case .tokenLimit(let value): "the number of tokens (\(value)) must be at least 1"
    case .notFinite(let position):
      "the logits after token \(position) are not finite: the weights are damaged, or training had diverged"
    case .promptTooLong(let tokens, let context):
      "the prompt has \(tokens) tokens (one that begins a document included), the model's context is "
        + "\(context) (max_position_embeddings); shorten the prompt"
    case .vocabulary(let tokenizer, let model):
      "the tokenizer has \(tokenizer) tokens, the model only \(model): it is another model's tokenizer"
    case .noTokenizer(let places):
      "there is none of \(places.joined(separator: ", ")); name one with --tokenizer"
    }
  }
}
