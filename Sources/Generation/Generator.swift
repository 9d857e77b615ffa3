package import Data
package import Model
internal import Tensors

/// Continues a text with a model.
package struct Generator {
  /// Why generation ended.
  package enum Ending: Hashable, Sendable {
    /// The model ended the document.
    case endOfText
    /// As many tokens as were asked for.
    case tokenLimit
    /// The model's context, in tokens, is full.
    case contextFull(Int)
  }

  /// What was generated.
  package struct Output: Hashable, Sendable {
    /// Without the prompt and the token that ends the text.
    package let tokens: [Int32]
    package let text: String
    package let ending: Ending
  }

  private let model: DeepSeek
  private let tokenizer: Tokenizer
  private let sampler: Sampler

  /// - Throws: `GenerationError.vocabulary` when the tokenizer has tokens that the model has not.
  package init(_ model: DeepSeek, tokenizer: Tokenizer, sampler: Sampler) throws(GenerationError) {
    let size = model.configuration.vocabSize
    guard tokenizer.vocabularySize <= size else {
      throw .vocabulary(tokenizer: tokenizer.vocabularySize, model: size)
    }
    (self.model, self.tokenizer, self.sampler) = (model, tokenizer, sampler)
  }

  /// Continues `prompt` until the model ends the text, or a limit is reached.
  ///
  /// The end-of-text token precedes the prompt, as it precedes each document in training.
  /// - Parameters:
  ///   - limit: the most tokens to generate.
  ///   - onText: called with each piece of text as soon as it is certain.
  /// - Throws: `GenerationError` when the limit is below 1, the prompt exceeds the model's context, or the model
  ///   gives no finite logits.
  package func generate(
    _ prompt: String, limit: Int, onText: (String) -> Void = { _ in }
  ) throws(GenerationError) -> Output {
    guard limit >= 1 else { throw .tokenLimit(limit) }
    let context = model.configuration.maxPositionEmbeddings
    let start = [tokenizer.endOfText] + tokenizer.encode(prompt)
    guard start.count <= context else { throw .promptTooLong(tokens: start.count, context: context) }
    // The last token generated is not shown to the model.
    let decoder = CachedDecoder(model, capacity: min(context, start.count + limit - 1))
    var stream = TextStream(tokenizer)
    var (tokens, text): ([Int32], String) = ([], "")
    func emit(_ piece: String) {
      guard !piece.isEmpty else { return }
      text += piece
      onText(piece)
    }
    var (next, ending) = (start, Ending.tokenLimit)
    while true {
      let logits = decoder.advance(next)
      let token = try sampler.token(after: decoder.count - 1, logits: logits.floats)
      if token == tokenizer.endOfText {
        ending = .endOfText
        break
      }
      tokens.append(token)
      emit(stream.append(token))
      if tokens.count == limit { break }
      if decoder.count == context {
        ending = .contextFull(context)
        break
      }
      next = [token]
    }
    emit(stream.finish())
    return Output(tokens: tokens, text: text, ending: ending)
  }
}
