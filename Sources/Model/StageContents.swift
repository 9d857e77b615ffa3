/// What a stage of a pipeline computes: a run of the model's layers, with what stands before the first and after the
/// last one.
package struct StageContents: Hashable, Sendable {
  /// Whether it begins with the embedding.
  package var hasEmbedding: Bool
  /// Blocks of the main model.
  package var layers: Range<Int>
  /// Whether it ends with the final norm, the modules of multi-token prediction and the head.
  package var hasHead: Bool

  package init(hasEmbedding: Bool, layers: Range<Int>, hasHead: Bool) {
    (self.hasEmbedding, self.layers, self.hasHead) = (hasEmbedding, layers, hasHead)
  }

  /// The whole model as one stage.
  package static func whole(_ model: ModelConfiguration) -> StageContents {
    StageContents(hasEmbedding: true, layers: 0..<model.numHiddenLayers, hasHead: true)
  }

  /// The segments of ``DeepSeek/segments`` whose parameters it reads, ascending. Modules of multi-token prediction read
  /// the embedding too.
  package func segments(of model: ModelConfiguration) -> [Int] {
    let (last, depths) = (model.numHiddenLayers, model.numNextnPredictLayers)
    let embedding = hasEmbedding || (hasHead && depths > 0) ? [0] : []
    return embedding + layers.map { $0 + 1 } + (hasHead ? Array(last + 1...last + 1 + depths) : [])
  }
}
