internal import Autograd
internal import Communication
package import Data
internal import Foundation
package import Model
internal import Tensors

/// What evaluation on held-out text found.
package struct EvaluationResult: Sendable {
  /// Tokens predicted.
  package var tokens = 0
  /// UTF-8 bytes of the text that they stand for.
  package var bytes = 0.0
  /// Sums of −log p over the tokens, in nats: of the main head, then of each depth.
  package var sums: [Double]
  /// Labels that each depth was asked for.
  package var valid: [Int]
  /// How often depth 1's most likely token is the one that the main head, one position later, finds most likely.
  package var accepted = 0
  package var compared = 0

  /// Nats per token.
  package var loss: Double { sums[0] / Double(max(valid[0], 1)) }
  package var perplexity: Double { exp(loss) }
  /// Bits per UTF-8 byte; the tokens that end documents are paid for too.
  package var bitsPerByte: Double { sums[0] / log(2) / bytes }
  package var multiTokenLosses: [Double] { zip(sums, valid).dropFirst().map { $0 / Double(max($1, 1)) } }
  /// nil without multi-token prediction, or when it was not asked for.
  package var acceptance: Double? { compared > 0 ? Double(accepted) / Double(compared) : nil }
}

extension EvaluationResult {
  /// Adds up what the ranks have found.
  fileprivate mutating func add(over ranks: TrainingRanks) {
    sums = ranks.reduce(sums)
    let counts = ranks.sumOverData([tokens, accepted, compared] + valid)
    (tokens, accepted, compared, valid) = (counts[0], counts[1], counts[2], Array(counts[3...]))
  }
}

/// Predicts each token of a stream once, row by row.
package struct Evaluator {
  package let model: DeepSeek
  package let rows: RowSet
  /// Rows computed together.
  package let batch: Int
  /// As in training.
  package let boundaries: DocumentBoundaries
  /// The ranks that share the rows; nil for one alone.
  package let ranks: TrainingRanks?

  package init(
    _ model: DeepSeek, _ dataset: TokenDataset, sequenceLength: Int, batch: Int,
    boundaries: DocumentBoundaries = [], ranks: TrainingRanks? = nil
  ) {
    (self.model, self.batch, self.boundaries, self.ranks) = (model, batch, boundaries, ranks)
    rows = RowSet(dataset, sequenceLength: sequenceLength)
  }

  /// - Parameters:
  ///   - maxTokens: stop after the row with which this many have been predicted; nil for all.
  ///   - acceptance: also measure how often depth 1 would be accepted as a draft (two more products a batch).
  package func run(maxTokens: Int? = nil, acceptance: Bool = false) -> EvaluationResult {
    let depths = model.depths
    var result = EvaluationResult(
      sums: Array(repeating: 0, count: depths + 1), valid: Array(repeating: 0, count: depths + 1))
    let wanted = maxTokens.map { ($0 + rows.sequenceLength - 1) / rows.sequenceLength }
    let count = min(rows.count, wanted ?? .max)
    let (place, places) = (ranks?.grid.dataRank ?? 0, ranks?.grid.data ?? 1)
    // Ranks go through as many batches each, since they compute with each other's experts: some may count nothing.
    for first in stride(from: 0, to: count, by: batch * places) {
      let begin = min(first + place * batch, count)
      var samples = (begin..<min(begin + batch, count)).map(rows.evaluationRow)
      if samples.isEmpty {
        let row = rows.evaluationRow(0)
        samples = [(row.inputs, row.labels.map { _ in MicroBatch.ignored }, row.documents)]
      }
      evaluate(samples, acceptance: acceptance && depths > 0, into: &result)
    }
    if let ranks { result.add(over: ranks) }
    // Tokens differ in length; a part of the stream counts as its share of the text.
    let share = Double(result.tokens) / Double(max(rows.dataset.count - 1, 1))
    result.bytes = Double(rows.dataset.textBytes) * share
    return result
  }

  private func evaluate(
    _ samples: [(inputs: [Int32], labels: [Int32], documents: [Int32])], acceptance: Bool,
    into result: inout EvaluationResult
  ) {
    let batch = MicroBatch(
      sequences: samples.count, length: rows.sequenceLength, inputs: samples.flatMap(\.inputs),
      labels: samples.flatMap(\.labels), documents: samples.flatMap(\.documents), boundaries: boundaries)
    let valid = batch.validLabels(depths: model.depths)
    let context = ForwardContext(
      tape: Tape(on: model.device, isRecording: false), sequences: batch.sequences, length: batch.length,
      table: model.rotaryTable(batch.length), exchange: ranks?.exchange(microBatch: 0))
    let (losses, hidden) = model.losses(
      batch, Objective(validLabels: valid, multiTokenWeight: 0), context, over: ranks)
    for depth in valid.indices {
      result.sums[depth] += losses.tokens[depth]
      result.valid[depth] += valid[depth]
    }
    result.tokens += valid[0]
    guard acceptance, !hidden.isEmpty else { return }
    let (main, draft) = (model.mostLikely(hidden[0]), model.mostLikely(hidden[1]))
    let labels = batch.shifted(by: 1).labels
    for i in labels.indices where labels[i] >= 0 {
      result.compared += 1
      if draft[i] == main[i + 1] { result.accepted += 1 }
    }
  }
}
