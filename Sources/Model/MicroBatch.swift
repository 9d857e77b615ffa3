/// B rows of S tokens with their labels, and what multi-token prediction reads of them.
package struct MicroBatch: Sendable {
  package let sequences, length: Int
  /// `[B·S]`, row by row.
  package let inputs: [Int32]
  /// `[B·S]`: the token after each position, ``ignored`` where there is none.
  package let labels: [Int32]
  /// `[B·S]`: the document of each position; nil when a row counts as one sequence.
  package let documents: [Int32]?

  /// A label that takes no part in the loss.
  package static let ignored: Int32 = -1

  package init(sequences: Int, length: Int, inputs: [Int32], labels: [Int32], documents: [Int32]? = nil) {
    precondition(inputs.count == sequences * length && labels.count == inputs.count)
    precondition(documents == nil || documents?.count == inputs.count)
    (self.sequences, self.length) = (sequences, length)
    (self.inputs, self.labels, self.documents) = (inputs, labels, documents)
  }

  /// Rows of S tokens that are their own labels: the last position of a row has none.
  package init(rows: [[Int32]]) {
    let length = rows.first?.count ?? 0
    self.init(
      sequences: rows.count, length: length, inputs: rows.flatMap { $0 },
      labels: rows.flatMap { Array($0.dropFirst()) + [Self.ignored] })
  }

  /// What depth k of multi-token prediction reads: the token k places on, the label k + 1 places on, and whether the
  /// position takes part (only asked for when documents are told apart).
  package func shifted(by depth: Int) -> (ids: [Int32], labels: [Int32], keeps: [Bool]?) {
    var ids = [Int32](repeating: 0, count: inputs.count)
    var targets = [Int32](repeating: Self.ignored, count: inputs.count)
    var keeps = documents.map { _ in [Bool](repeating: true, count: inputs.count) }
    for row in 0..<sequences {
      for i in 0..<length {
        let at = row * length + i
        if i + depth < length { (ids[at], targets[at]) = (inputs[at + depth], labels[at + depth]) }
        guard let documents else { continue }
        let inside = i + depth < length && documents[at + depth] == documents[at]
        guard !inside else { continue }
        (ids[at], targets[at]) = (0, Self.ignored)
        keeps?[at] = false
      }
    }
    return (ids, targets, keeps)
  }

  /// Valid labels of the main head (depth 0) and of each depth of multi-token prediction.
  package func validLabels(depths: Int) -> [Int] {
    (0...depths).map { depth in
      let targets = depth == 0 ? labels : shifted(by: depth).labels
      return targets.count { $0 >= 0 }
    }
  }
}
