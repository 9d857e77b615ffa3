internal import Model
internal import Numerics
internal import Tensors

/// A weight matrix of the model, and how often a micro-batch multiplies with it: `y [T, N] = x [T, K] W [N, K]ᵀ`.
struct ModelProduct {
  let name: String
  /// N and K.
  let outputs, inputs: Int
  /// Experts with a matrix of their own; nil for one matrix for all tokens.
  var experts: Int?
  /// How `precision.fp8` calls it; nil where it is never multiplied in FP8.
  var group: Float8Policy.MatrixGroup?
  /// Whether it is computed in float32 in any precision.
  var isSingle = false
  /// Layers that have it.
  let uses: Int

  /// Every product of a model with its weights, in the order of the forward pass; those that it does not have are
  /// left out.
  static func all(_ c: ModelConfiguration) -> [ModelProduct] {
    let layers = c.numHiddenLayers + c.numNextnPredictLayers
    let d = c.hiddenSize
    let ends = [
      ModelProduct(
        name: "mtp eh_proj", outputs: d, inputs: 2 * d, group: .mtpProjection, uses: c.numNextnPredictLayers),
      ModelProduct(name: "head", outputs: c.vocabSize, inputs: d, uses: 1 + c.numNextnPredictLayers),
    ]
    return (attention(c, layers: layers) + feedForward(c, layers: layers) + ends).filter { $0.uses > 0 }
  }

  private static func attention(_ c: ModelConfiguration, layers: Int) -> [ModelProduct] {
    let (d, heads) = (c.hiddenSize, c.numAttentionHeads)
    let queries = heads * c.qkHeadDim
    let projections =
      c.qLoraRank.map { rank in
        [
          ModelProduct(name: "q_a", outputs: rank, inputs: d, group: .attention, uses: layers),
          ModelProduct(name: "q_b", outputs: queries, inputs: rank, group: .attention, uses: layers),
        ]
      } ?? [ModelProduct(name: "q", outputs: queries, inputs: d, group: .attention, uses: layers)]
    return projections + [
      ModelProduct(
        name: "kv_a", outputs: c.kvLoraRank + c.qkRopeHeadDim, inputs: d, group: .attention, uses: layers),
      ModelProduct(
        name: "kv_b", outputs: heads * (c.qkNopeHeadDim + c.vHeadDim), inputs: c.kvLoraRank,
        group: .attention, uses: layers),
      ModelProduct(name: "o", outputs: d, inputs: heads * c.vHeadDim, group: .attention, uses: layers),
    ]
  }

  private static func feedForward(_ c: ModelConfiguration, layers: Int) -> [ModelProduct] {
    let sparse = (0..<layers).count { c.isMixtureOfExperts(layer: $0) }
    let d = c.hiddenSize
    let (dense, shared) = (c.intermediateSize, c.nSharedExperts * c.moeIntermediateSize)
    return [
      ModelProduct(
        name: "dense gate_up", outputs: 2 * dense, inputs: d, group: .dense, uses: layers - sparse),
      ModelProduct(name: "dense down", outputs: d, inputs: dense, group: .dense, uses: layers - sparse),
      ModelProduct(name: "router gate", outputs: c.nRoutedExperts, inputs: d, isSingle: true, uses: sparse),
      ModelProduct(
        name: "experts gate_up", outputs: 2 * c.moeIntermediateSize, inputs: d, experts: c.nRoutedExperts,
        group: .routedExperts, uses: sparse),
      ModelProduct(
        name: "experts down", outputs: d, inputs: c.moeIntermediateSize, experts: c.nRoutedExperts,
        group: .routedExperts, uses: sparse),
      ModelProduct(
        name: "shared gate_up", outputs: 2 * shared, inputs: d, group: .sharedExperts,
        uses: shared > 0 ? sparse : 0),
      ModelProduct(
        name: "shared down", outputs: d, inputs: shared, group: .sharedExperts, uses: shared > 0 ? sparse : 0),
    ]
  }

  /// Where each group's rows begin, and the end: of `tokens` tokens that choose `selected` experts each, all equally
  /// likely; always the same.
  func offsets(tokens: Int, selected: Int) -> [Int] {
    guard let experts else { return [0, tokens] }
    var counts = [Int](repeating: 0, count: experts)
    let numbers = Philox(seed: 0, name: "experts of tokens")
    for token in 0..<tokens {
      var chosen: [Int] = []
      // Robert Floyd's choice of `selected` among `experts`, each set equally likely.
      for last in experts - selected..<experts {
        let index = UInt64(token * selected + chosen.count)
        let pick = Int(numbers.uniform(index) * Double(last + 1))
        chosen.append(chosen.contains(pick) ? last : pick)
      }
      for expert in chosen { counts[expert] += 1 }
    }
    return counts.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
  }
}
