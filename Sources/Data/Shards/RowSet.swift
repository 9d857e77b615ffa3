/// A token stream cut into rows for training and evaluation; T is the sequence length.
///
/// Row i has the tokens `i·T … i·T + T`: T inputs and, one later, T targets. Its last token is the first of the
/// next row, so over all rows each token but the stream's first is predicted exactly once.
package struct RowSet: Sendable {
  package struct Row: Hashable, Sendable {
    /// `T + 1` tokens; after the valid ones, end-of-text.
    package let tokens: [Int32]
    /// How many tokens come from the stream: `T + 1` but in the last row. The row predicts one less.
    package let validCount: Int
    /// For each token the number, from 0 in each row, of the document that it belongs to. An end-of-text
    /// belongs to the document that it ends; the row's padding has −1.
    package let documentIndex: [Int32]
  }

  package let dataset: TokenDataset
  /// T.
  package let sequenceLength: Int

  package init(_ dataset: TokenDataset, sequenceLength: Int) {
    precondition(sequenceLength > 0, "a sequence of \(sequenceLength) tokens is none")
    self.dataset = dataset
    self.sequenceLength = sequenceLength
  }

  /// Rows with at least one prediction: the last one may be partial.
  package var count: Int { (dataset.count - 2 + sequenceLength) / sequenceLength }

  /// Rows in which all T predictions are valid; they come first.
  package var wholeCount: Int { (dataset.count - 1) / sequenceLength }

  package func row(_ index: Int) -> Row {
    precondition(index >= 0 && index < count, "row \(index) of \(count) does not exist")
    let start = index * sequenceLength
    let valid = min(sequenceLength + 1, dataset.count - start)
    var tokens = [Int32](repeating: dataset.endOfText, count: sequenceLength + 1)
    tokens.withUnsafeMutableBufferPointer { dataset.copyTokens(at: start, count: valid, into: $0) }
    var documentIndex = [Int32](repeating: -1, count: sequenceLength + 1)
    var document: Int32 = 0
    for position in 0..<valid {
      documentIndex[position] = document
      if tokens[position] == dataset.endOfText { document += 1 }
    }
    return Row(tokens: tokens, validCount: valid, documentIndex: documentIndex)
  }
}
