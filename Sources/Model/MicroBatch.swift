/// Where the documents of a row are told apart; elsewhere it counts as one sequence, as in V3's pre-training.
package struct DocumentBoundaries: OptionSet, Sendable, Hashable {
  package let rawValue: Int
  package init(rawValue: Int) { self.rawValue = rawValue }

  /// Queries see the keys of their own document.
  package static let attention = DocumentBoundaries(rawValue: 1)
  /// Positions whose token k ahead is of another document take no part in depth k.
  package static let multiTokenPrediction = DocumentBoundaries(rawValue: 2)
}

/// B rows of S tokens with their labels, and what multi-token prediction reads of them.
package struct MicroBatch: Sendable {
  package let sequences, length: Int
  /// `[B·S]`, row by row.
  package let inputs: [Int32]
  /// `[B·S]`: the token after each position, ``ignored`` where there is none.
  package let labels: [Int32]
  /// `[B·S]`: the document of each position; only read where documents are told apart.
  package let documents: [Int32]?
  package let boundaries: DocumentBoundaries

  /// A label that takes no part in the loss.
  package static let ignored: Int32 = -1

  package init(
    sequences: Int, length: Int, inputs: [Int32], labels: [Int32], documents: [Int32]? = nil,
    boundaries: DocumentBoundaries = []
  ) {
    precondition(inputs.count == sequences * length && labels.count == inputs.count)
    precondition(documents == nil || documents?.count == inputs.count)
    precondition(documents != nil || boundaries.isEmpty, "boundaries \(boundaries) of no documents")
    (self.sequences, self.length) = (sequences, length)
    (self.inputs, self.labels, self.documents) = (inputs, labels, documents)
    self.boundaries = boundaries
  }

  /// Rows of S tokens that are their own labels: the last position of a row has none.
  package init(rows: [[Int32]]) {
    let length = rows.first?.count ?? 0
    self.init(
      sequences: rows.count, length: length, inputs: rows.flatMap { $0 },
      labels: rows.flatMap { Array($0.dropFirst()) + [Self.ignored] })
  }

  /// `[B·S]`: the first position of its row that each position sees; nil when documents are not told apart.
  package var firstSeen: [Int32]? {
    guard boundaries.contains(.attention), let documents else { return nil }
    var first = [Int32](repeating: 0, count: documents.count)
    for at in documents.indices where at % length > 0 {
      first[at] = documents[at] == documents[at - 1] ? first[at - 1] : Int32(at % length)
    }
    return first
  }

  /// What depth k of multi-token prediction reads: the token k places on, the label k + 1 places on, and whether the
  /// position takes part (only asked for when documents are told apart).
  package func shifted(by depth: Int) -> (ids: [Int32], labels: [Int32], keeps: [Bool]?) {
    var ids = [Int32](repeating: 0, count: inputs.count)
    var targets = [Int32](repeating: Self.ignored, count: inputs.count)
    let documents = boundaries.contains(.multiTokenPrediction) ? documents : nil
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
