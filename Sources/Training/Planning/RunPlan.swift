internal import Autograd
internal import Communication
package import Model
internal import Optimization
internal import Parallel
package import Pipeline
internal import Tensors

/// What a run on so many ranks would hold, send and compute: figures of a machine that need not be there.
///
/// Experts are taken to be chosen evenly where nothing else is said. The step is one of the largest batch.
package struct RunPlan: Sendable {
  package let configuration: RunConfiguration
  package let model: ModelConfiguration
  package let layout: RankLayout
  /// Sequences of a step.
  package let sequences: Int
  /// Of a step, on each pipeline.
  package let microbatches: Int
  /// nil without a pipeline.
  package let schedule: Schedule?
  let account: ParameterAccount
  let work: ModelWork

  /// - Parameter nodes: of the ranks, in their order.
  /// - Throws: `ConfigurationError` where the vocabulary is left to a tokenizer; `CommunicationError.grid` with
  ///   everything that does not fit.
  package init(
    _ configuration: RunConfiguration, vocabulary: Int? = nil, nodes: [Int]
  ) throws {
    let model = try configuration.model.resolved(tokenizerVocabSize: vocabulary)
    layout = try RankLayout(configuration, model, nodes: nodes)
    (self.configuration, self.model) = (configuration, model)
    sequences = configuration.training.globalBatchSize.to
    microbatches = sequences / configuration.training.microBatchSize / layout.data
    schedule = layout.plan?.schedule(microbatches: microbatches)
    account = ParameterAccount(configuration, model, layout)
    work = ModelWork(
      model, length: configuration.training.sequenceLength,
      recomputation: Recomputation(configuration.training.recompute))
  }

  package var tokens: Int { sequences * configuration.training.sequenceLength }

  /// The stages of the pipeline; the whole model where there is none.
  package var stages: [StageContents] { layout.plan?.layout.stages ?? layout.stages(of: 0) }

  /// What one token costs in all of the model.
  package var workByPart: [ModelWork.Part: TokenWork] { work.parts(of: .whole(model)) }
  package var workOfToken: TokenWork { work.total(of: .whole(model)) }

  /// Experts of a layer on each rank.
  package func experts(ofExpertRank rank: Int) -> Range<Int> {
    ExpertShare(rank: rank, ranks: layout.expert).experts(of: model.nRoutedExperts)
  }

  /// Rows that may arrive at a rank at once.
  package var mostRows: Int {
    configuration.rowLimit(expertRanks: layout.expert, model: model)
      ?? configuration.microBatchTokens * layout.expert
  }

  /// Bytes of an activation between stages.
  package var messageBytes: Int {
    configuration.microBatchTokens * model.hiddenSize * configuration.precision.mode.dtype.byteCount
  }

  /// Bytes that a micro-batch keeps in a stage between forward and backward.
  /// - Parameter isWorst: with the most rows that may arrive, all of them for experts of this rank alone.
  package func activationBytes(of stage: StageContents, isWorst: Bool = false) -> Int {
    let (section, ranks) = (configuration.training, layout.expert)
    var kept = KeptActivations(
      model, compute: configuration.precision.mode.dtype, sequences: section.microBatchSize,
      length: section.sequenceLength)
    kept.float8 = Float8Policy(configuration.precision)
    kept.recomputation = Recomputation(section.recompute)
    kept.expertRanks = ranks
    let balance = BalanceLosses(section, model)
    kept.hasBalanceLoss = [balance.sequence, balance.expert, balance.device, balance.communication]
      .contains { $0 != 0 }
    kept.masksDocuments = section.documentAttentionMask
    kept.masksPredictions = section.mtpDocumentBoundaries
    let rows =
      isWorst && ranks > 1
      ? RoutedRows(atMost: mostRows, of: model, ranks: ranks)
      : RoutedRows(tokens: configuration.microBatchTokens, of: model, ranks: ranks)
    return kept.bytes(of: stage, rows: rows)
  }

  /// Layers with experts of a stage, those of multi-token prediction included.
  func expertLayers(of stage: StageContents) -> [Int] {
    let modules = model.numHiddenLayers..<model.numHiddenLayers + model.numNextnPredictLayers
    return (Array(stage.layers) + (stage.hasHead ? Array(modules) : [])).filter(model.isMixtureOfExperts)
  }

  /// What one micro-batch of a stage sends for experts.
  /// - Parameter rank: of the world, for its neighbors' nodes.
  func exchange(of stage: StageContents, rank: Int) -> ExchangeVolume {
    var sum = ExchangeVolume(tokens: 0, of: model, nodes: [0], isTwoLevel: false, row: row(layer: 0))
    let (nodes, isTwoLevel) = (layout.expertNodes(of: rank), layout.isTwoLevel(rank: rank))
    for layer in expertLayers(of: stage) {
      let volume = ExchangeVolume(
        tokens: configuration.microBatchTokens, of: model, nodes: nodes, isTwoLevel: isTwoLevel,
        row: row(layer: layer))
      sum.forward = sum.forward + volume.forward
      sum.backward = sum.backward + volume.backward
      sum.betweenNodes += volume.betweenNodes
    }
    return sum
  }

  private func row(layer: Int) -> ExchangeVolume.Row {
    // The last norm and the head stand before the modules of multi-token prediction.
    let segment = account.segments[layer + (layer < model.numHiddenLayers ? 1 : 2)]
    let settings = segment.first(where: \.isOfExperts)?.float8
    return ExchangeVolume.Row(model, compute: configuration.precision.mode.dtype, float8: settings)
  }

  /// Whether a forward pass goes beside a backward pass.
  var overlaps: Bool { configuration.parallel.overlap && layout.expert > 1 }
}
