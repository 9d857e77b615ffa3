/// What a manifest says beside its tensors.
package struct CheckpointInformation: Sendable {
  /// The run's configuration with all defaults resolved, as text.
  package var configuration: String
  /// Optimizer steps done; names the checkpoint.
  package var step: Int
  /// Tokens trained on.
  package var tokens: Int
  /// The global index of the first sample that was not trained on.
  package var nextSample: Int
  /// Small values of the caller's own choice; numbers must be finite.
  package var state: [String: StateValue]

  package init(
    configuration: String, step: Int, tokens: Int, nextSample: Int, state: [String: StateValue] = [:]
  ) {
    (self.configuration, self.step, self.tokens, self.nextSample) = (configuration, step, tokens, nextSample)
    self.state = state
  }
}

/// What one process saves: the fields of a manifest, and tensors whose elements are asked for one after the other.
package struct CheckpointContents {
  package var information: CheckpointInformation
  package var tensors: [TensorRecord]
  /// Called once for each tensor, not in the order of `tensors`.
  package var bytes: TensorBytes

  package init(
    configuration: String, step: Int, tokens: Int, nextSample: Int, state: [String: StateValue] = [:],
    tensors: [TensorRecord], bytes: @escaping TensorBytes
  ) {
    information = CheckpointInformation(
      configuration: configuration, step: step, tokens: tokens, nextSample: nextSample, state: state)
    (self.tensors, self.bytes) = (tensors, bytes)
  }
}

/// A checkpoint that is on the disk.
package struct SavedCheckpoint: Sendable {
  package let path: String
  /// Bytes of all its files.
  package let length: Int
  /// The steps that retention has removed.
  package internal(set) var discarded: [Int] = []
  /// Why something old could not be removed. The new checkpoint is none the worse for it.
  package internal(set) var leftovers: [CheckpointError] = []
}
