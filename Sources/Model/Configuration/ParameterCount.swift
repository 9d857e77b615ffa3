/// The numbers of parameters of a model, by part, computed from its shape alone.
///
/// Norm gains count with the part they belong to, those of the blocks and the final one in `norms`.
package struct ParameterCount: Sendable, Hashable {
  package let embedding: Int
  /// Projections and latent norms of all main layers.
  package let attention: Int
  package let denseFeedForward: Int
  /// Routed and shared experts and routers of all main layers.
  package let mixtureOfExperts: Int
  package let norms: Int
  package let head: Int
  /// All MTP modules, without the embedding and head that they share with the main model.
  package let multiTokenPrediction: Int
  /// Balancing biases of the main layers' routers: a buffer that no gradient reaches.
  package let routerBiases: Int
  /// What one token uses of `mixtureOfExperts`.
  package let activeMixtureOfExperts: Int
  /// What one token uses of the MTP modules, with embedding and head once for each.
  package let activeMultiTokenPrediction: Int

  /// Everything the main model trains.
  package var main: Int { embedding + attention + denseFeedForward + mixtureOfExperts + norms + head }

  /// Everything that is trained.
  package var total: Int { main + multiTokenPrediction }

  /// What one token uses of the main model.
  package var active: Int { main - mixtureOfExperts + activeMixtureOfExperts }

  package init(_ model: ModelConfiguration) {
    let d = model.hiddenSize
    let layers = model.numHiddenLayers
    let expertLayers = (0..<layers).count { model.isMixtureOfExperts(layer: $0) }
    let layer = LayerCount(model)
    embedding = model.vocabSize * d
    head = model.vocabSize * d
    attention = layers * layer.attention
    denseFeedForward = (layers - expertLayers) * layer.dense
    mixtureOfExperts = expertLayers * layer.experts
    activeMixtureOfExperts = expertLayers * layer.activeExperts
    norms = (2 * layers + 1) * d
    routerBiases = model.hasRouterBias ? expertLayers * model.nRoutedExperts : 0
    // Two norms of the block, two of the inputs, one before the shared head; eh_proj is [d, 2d].
    let module = layer.attention + 5 * d + 2 * d * d
    let hasExperts = model.isMixtureOfExperts(layer: layers)
    let modules = model.numNextnPredictLayers
    multiTokenPrediction = modules * (module + (hasExperts ? layer.experts : layer.dense))
    activeMultiTokenPrediction =
      modules * (module + (hasExperts ? layer.activeExperts : layer.dense) + embedding + head)
  }
}

extension ParameterCount {
  /// What one token uses of the projections of a layer; the modules of multi-token prediction come after the main ones.
  static func active(layer: Int, of model: ModelConfiguration) -> Int {
    let count = LayerCount(model)
    return count.attention + (model.isMixtureOfExperts(layer: layer) ? count.activeExperts : count.dense)
  }
}

/// The parameters of one layer's parts.
private struct LayerCount {
  let attention, dense, experts, activeExperts: Int

  init(_ model: ModelConfiguration) {
    let d = model.hiddenSize
    let heads = model.numAttentionHeads
    let queries = heads * model.qkHeadDim
    let latent = model.kvLoraRank
    let query = model.qLoraRank.map { rank in d * rank + rank + rank * queries } ?? d * queries
    attention =
      query + d * (latent + model.qkRopeHeadDim) + latent
      + latent * heads * (model.qkNopeHeadDim + model.vHeadDim) + heads * model.vHeadDim * d
    dense = 3 * d * model.intermediateSize
    let expert = 3 * d * model.moeIntermediateSize
    let everyToken = model.nSharedExperts * expert + model.nRoutedExperts * d
    experts = everyToken + model.nRoutedExperts * expert
    activeExperts = everyToken + model.numExpertsPerTok * expert
  }
}
