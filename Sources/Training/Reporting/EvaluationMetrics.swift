internal import Foundation

/// The result of an evaluation on held-out data.
package struct EvaluationMetrics: MetricsRecord, Hashable {
  package static let kind = "evaluation"
  package static let group = "evaluation"

  /// The step after which the model was evaluated.
  package var step: Int
  /// Tokens that the model had been trained on.
  package var tokens: Int
  /// Mean cross-entropy of the next token, in nats per token.
  package var loss: Double
  /// The same of MTP depth k = 1, 2, …; empty without MTP.
  package var mtpLosses: [Double]
  /// Bytes of text per predicted token of the held-out data; nil when the text is not known.
  package var bytesPerToken: Double?
  /// Tokens that were predicted.
  package var evaluatedTokens: Int
  /// How long the evaluation took.
  package var seconds: Double

  package init(
    step: Int, tokens: Int, loss: Double, mtpLosses: [Double], bytesPerToken: Double?,
    evaluatedTokens: Int, seconds: Double
  ) {
    (self.step, self.tokens, self.loss, self.mtpLosses) = (step, tokens, loss, mtpLosses)
    (self.bytesPerToken, self.evaluatedTokens) = (bytesPerToken, evaluatedTokens)
    self.seconds = seconds
  }

  /// `exp(loss)`.
  package var perplexity: Double { exp(loss) }

  /// nil when the text is not known.
  package var bitsPerByte: Double? {
    bytesPerToken.map { EvaluationMetrics.bitsPerByte(nats: loss, bytesPerToken: $0) }
  }

  /// `nats / ln 2 / bytesPerToken`, with `nats` the loss per token.
  package static func bitsPerByte(nats: Double, bytesPerToken: Double) -> Double {
    nats / log(2) / bytesPerToken
  }

  package var fields: [MetricField] {
    var fields = [
      MetricField("tokens", .integer(tokens)), MetricField("loss", .number(loss)),
      MetricField("perplexity", .number(perplexity)),
    ]
    if let bitsPerByte { fields.append(MetricField("bits_per_byte", .number(bitsPerByte))) }
    fields += mtpFields(mtpLosses)
    fields.append(MetricField("evaluated_tokens", .integer(evaluatedTokens)))
    fields.append(MetricField("seconds", .number(seconds)))
    return fields
  }

  /// One line for a person.
  package var summary: String {
    let bits = bitsPerByte.map { String(format: "  bits/byte %.3f", $0) } ?? ""
    return "evaluation at step \(step)" + String(format: "  loss %.4f", loss) + bits
      + String(format: "  perplexity %.2f", perplexity)
      + "  over \(evaluatedTokens) tokens in \(ProgressText.time(seconds: seconds))"
  }
}
