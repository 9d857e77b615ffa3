package import Model

/// The `model` section: a model whose vocabulary may be left to the tokenizer.
package struct ModelSection: Sendable, Hashable {
  /// nil for `auto`.
  package var vocabSize: Int?
  /// Everything else; its `vocabSize` means nothing until `resolved` has set it.
  package var shape = ModelConfiguration.initial

  package init() {}

  static let schema: Schema<ModelSection> = Schema(
    initial: ModelSection(),
    fields: [
      .init(
        "vocab_size", \.vocabSize, ModelConfiguration.vocabularySize.optional("auto"), unit: "tokens",
        "rows of the embedding and of the output head; auto: as many as the tokenizer has (V3: 129280)")
    ] + ModelConfiguration.shapeFields.map { $0.lifted(to: \ModelSection.shape) },
    unused: ModelConfiguration.unusedKeys,
    rules: ModelConfiguration.rules.map { $0.lifted(to: \ModelSection.shape) } + [
      .init("eos_token_id", "vocab_size") {
        ModelConfiguration.endOfTextFault($0.shape.eosTokenId, $0.vocabSize)
      }
    ], normalize: HuggingFaceKeys.normalize)

  /// The complete model: the vocabulary of the configuration, or else that of the tokenizer.
  ///
  /// - Parameter endOfText: the tokenizer's, which `eos_token_id` must be where it is written; nil where there is no
  ///   tokenizer.
  /// - Throws: if the tokenizer has more tokens than the configured vocabulary, or `eos_token_id` lies outside it
  ///   or is not the tokenizer's.
  package func resolved(
    tokenizerVocabSize: Int?, endOfText: Int32? = nil
  ) throws(ConfigurationError) -> ModelConfiguration {
    let location = ConfigurationLocation(source: "configuration")
    guard let size = vocabSize ?? tokenizerVocabSize else {
      throw ConfigurationError(
        at: location, path: "model.vocab_size",
        "is auto, but there is no tokenizer to take it from; give a number")
    }
    if let tokenizerVocabSize, tokenizerVocabSize > size {
      throw ConfigurationError(
        at: location, path: "model.vocab_size",
        "(\(size)) is less than the tokenizer's \(tokenizerVocabSize) tokens")
    }
    if let fault = ModelConfiguration.endOfTextFault(shape.eosTokenId, size) {
      throw ConfigurationError(at: location, path: "model.eos_token_id", fault)
    }
    if let id = shape.eosTokenId, let endOfText, id != Int(endOfText) {
      throw ConfigurationError(
        at: location, path: "model.eos_token_id",
        "(\(id)) is not the tokenizer's end-of-text token (\(endOfText)); leave it out, or use the tokenizer "
          + "that it belongs to")
    }
    var model = shape
    model.vocabSize = size
    return model
  }
}
