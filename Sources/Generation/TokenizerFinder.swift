internal import Foundation

/// Finds the tokenizer that belongs to a checkpoint.
package enum TokenizerFinder {
  /// The nearest `tokenizer.json`: in the checkpoint, beside it, or in the directory of its run.
  ///
  /// - Parameter directory: of the checkpoint itself, `step-N`.
  /// - Throws: `GenerationError.noTokenizer`.
  package static func path(besideCheckpoint directory: String) throws(GenerationError) -> String {
    let places = [directory, "\(directory)/..", "\(directory)/../.."].map { "\($0)/tokenizer.json" }
    guard let path = places.first(where: FileManager.default.fileExists) else {
      throw .noTokenizer(places: places)
    }
    return path
  }
}
