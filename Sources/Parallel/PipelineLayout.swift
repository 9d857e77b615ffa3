package import Model
package import Pipeline

/// Which parts of a model the ranks of a pipeline hold.
package struct PipelineLayout: Hashable, Sendable {
  package let placement: Placement
  /// What the model is cut into, by stage.
  package let stages: [StageContents]

  package init(_ placement: Placement, _ stages: [StageContents]) {
    precondition(stages.count == placement.stages, "\(stages.count) stages for places of \(placement.stages)")
    (self.placement, self.stages) = (placement, stages)
  }

  package func stage(at place: Place) -> StageContents { stages[placement.stage(at: place)] }

  /// What a rank of the pipeline holds, by slot.
  package func stages(of rank: Int) -> [StageContents] {
    (0..<placement.slots).map { stage(at: Place(rank: rank, slot: $0)) }
  }

  /// The ranks of the pipeline that hold a segment's parameters, by segment, ascending.
  ///
  /// Several, where a stage lies at several places, or where the last stage reads the embedding of the first.
  package func holders(in model: ModelConfiguration) -> [[Int]] {
    let segments = model.numHiddenLayers + 2 + model.numNextnPredictLayers
    var holders = Array(repeating: [Int](), count: segments)
    for rank in 0..<placement.ranks {
      let held = Set(stages(of: rank).flatMap { $0.segments(of: model) })
      for segment in held { holders[segment].append(rank) }
    }
    return holders
  }
}
