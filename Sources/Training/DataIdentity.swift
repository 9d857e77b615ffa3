package import Checkpoint

/// What the samples of a run are: `next_sample` counts in an order that follows from all of this.
package struct DataIdentity: Sendable, Equatable {
  /// The tokens' fingerprint; `synthetic` for random ones.
  package var tokens: String
  package var seed: Int
  package var sequenceLength: Int

  package init(tokens: String, seed: Int, sequenceLength: Int) {
    (self.tokens, self.seed, self.sequenceLength) = (tokens, seed, sequenceLength)
  }

  /// Under the names that a checkpoint's `state` has.
  package var state: [String: StateValue] {
    [
      "data.tokens": .string(tokens), "data.seed": .integer(seed),
      "data.sequence_length": .integer(sequenceLength),
    ]
  }

  /// What another run's state says otherwise, in words; empty when its samples were these.
  package func differences(from other: [String: StateValue]) -> [String] {
    state.sorted { $0.key < $1.key }.compactMap { key, value in
      other[key] == value ? nil : "\(key) was \(other[key]?.text ?? "not recorded"), is \(value.text)"
    }
  }
}

extension StateValue {
  /// As a person would write it.
  package var text: String {
    switch self {
    case .string(let text): text
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    }
  }
}
