/// What a checkpoint holds: `manifest.json`, without which a checkpoint does not exist.
///
/// Says for each logical tensor which slices make it up and where each is, so that a loader need not know
/// how many ranks wrote it.
package struct Manifest: Equatable, Sendable {
  package static let fileName = "manifest.json"
  package static let format = "hadal-checkpoint"
  package static let version = 1

  /// A file beside the manifest.
  package struct File: Hashable, Sendable {
    package let name: String
    package let digest: FileDigest

    package init(name: String, digest: FileDigest) { (self.name, self.digest) = (name, digest) }
  }

  /// A part of a tensor, and the file and the name under which it is stored.
  package struct Slice: Hashable, Sendable {
    package let box: Box
    package let file: String
    package let key: String

    package init(box: Box, file: String, key: String) { (self.box, self.file, self.key) = (box, file, key) }
  }

  /// A tensor as the model knows it, and the slices that cover each of its elements exactly once.
  package struct Tensor: Hashable, Sendable {
    package let record: TensorRecord
    package let slices: [Slice]

    package init(_ record: TensorRecord, slices: [Slice]) { (self.record, self.slices) = (record, slices) }
  }

  /// The run's configuration with all defaults resolved, as text.
  package var configuration: String
  /// Optimizer steps done.
  package var step: Int
  /// Tokens trained on.
  package var tokens: Int
  /// The global index of the first sample that was not trained on.
  package var nextSample: Int
  /// Small values of a program's own choice.
  package var state: [String: StateValue]
  package var files: [File]
  package var tensors: [Tensor]

  package init(
    configuration: String, step: Int, tokens: Int, nextSample: Int, state: [String: StateValue],
    files: [File], tensors: [Tensor]
  ) {
    (self.configuration, self.step, self.tokens, self.nextSample) = (configuration, step, tokens, nextSample)
    (self.state, self.files, self.tensors) = (state, files, tensors)
  }

  /// The file that one of `ranks` ranks writes: `rank-00000-of-00008.safetensors`.
  package static func fileName(rank: Int, of ranks: Int) -> String {
    precondition(0 <= rank && rank < ranks, "rank \(rank) of \(ranks)")
    return "rank-\(fiveDigits(rank))-of-\(fiveDigits(ranks)).safetensors"
  }
}

/// A number as it stands in the names of files that sort by it.
func fiveDigits(_ number: Int) -> String {
  String(repeating: "0", count: max(0, 5 - String(number).count)) + String(number)
}

/// A small value that a checkpoint keeps beside its tensors.
package enum StateValue: Hashable, Sendable {
  case string(String)
  case integer(Int)
  /// Finite: JSON has no other numbers.
  case number(Double)
}
