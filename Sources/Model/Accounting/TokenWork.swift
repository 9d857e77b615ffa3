/// Floating-point operations of one token; a multiplication with its addition counts as two.
///
/// A product with a weight of n elements is 2 n in each of forward, input gradient and weight gradient (6 n in all, as
/// in 6 N). Norms, rotary embedding, SwiGLU, softmax and sums are left out.
package struct TokenWork: Sendable, Hashable {
  package var forward = 0.0
  package var inputGradient = 0.0
  package var weightGradient = 0.0

  package init(forward: Double = 0, inputGradient: Double = 0, weightGradient: Double = 0) {
    (self.forward, self.inputGradient, self.weightGradient) = (forward, inputGradient, weightGradient)
  }

  /// A product with a weight of so many elements.
  package init(product elements: Int) {
    let work = 2 * Double(elements)
    self.init(forward: work, inputGradient: work, weightGradient: work)
  }

  package var backward: Double { inputGradient + weightGradient }
  package var total: Double { forward + backward }

  package static func + (a: TokenWork, b: TokenWork) -> TokenWork {
    TokenWork(
      forward: a.forward + b.forward, inputGradient: a.inputGradient + b.inputGradient,
      weightGradient: a.weightGradient + b.weightGradient)
  }

  package static func += (a: inout TokenWork, b: TokenWork) { a = a + b }
}

/// What a model's parts compute for a token.
package struct ModelWork: Sendable {
  package enum Part: String, Sendable, CaseIterable {
    case projections = "attention projections"
    case attention = "attention core"
    case dense = "dense layers"
    case routedExperts = "routed experts"
    case sharedExperts = "shared experts"
    case router
    case predictionInput = "MTP projection"
    case head
  }

  private let model: ModelConfiguration
  /// Tokens of a sequence.
  private let length: Int
  private let recomputesUpProjections: Bool

  package init(_ model: ModelConfiguration, length: Int, recomputation: Recomputation) {
    (self.model, self.length) = (model, length)
    recomputesUpProjections = recomputation.contains(.upProjections)
  }

  package func parts(of stage: StageContents) -> [Part: TokenWork] {
    var parts: [Part: TokenWork] = [:]
    let add = { (other: [Part: TokenWork]) in parts.merge(other, uniquingKeysWith: +) }
    for layer in stage.layers { add(block(layer)) }
    guard stage.hasHead else { return parts }
    add([.head: head])
    for depth in 0..<model.numNextnPredictLayers {
      let d = model.hiddenSize
      add(block(model.numHiddenLayers + depth))
      add([.predictionInput: TokenWork(product: 2 * d * d), .head: head])
    }
    return parts
  }

  package func total(of stage: StageContents) -> TokenWork {
    // In a fixed order: sums of numbers have the same bits every time.
    let parts = parts(of: stage)
    return Part.allCases.reduce(TokenWork()) { $0 + (parts[$1] ?? TokenWork()) }
  }

  /// Both gradients are computed in the forward pass, while a chunk's logits are at hand.
  private var head: TokenWork { TokenWork(forward: 6 * Double(model.vocabSize * model.hiddenSize)) }

  private func block(_ layer: Int) -> [Part: TokenWork] {
    let (c, d) = (model, model.hiddenSize)
    var parts: [Part: TokenWork] = [.projections: projections, .attention: core]
    guard c.isMixtureOfExperts(layer: layer) else {
      parts[.dense] = TokenWork(product: 3 * d * c.intermediateSize)
      return parts
    }
    let expert = 3 * d * c.moeIntermediateSize
    parts[.router] = TokenWork(product: c.nRoutedExperts * d)
    parts[.routedExperts] = TokenWork(product: c.numExpertsPerTok * expert)
    parts[.sharedExperts] = TokenWork(product: c.nSharedExperts * expert)
    return parts
  }

  private var projections: TokenWork {
    let (c, d, heads) = (model, model.hiddenSize, model.numAttentionHeads)
    let queries = heads * c.qkHeadDim
    let up = (c.qLoraRank.map { $0 * queries } ?? 0) + c.kvLoraRank * heads * (c.qkNopeHeadDim + c.vHeadDim)
    let down = c.qLoraRank.map { d * $0 } ?? d * queries
    let others = down + d * (c.kvLoraRank + c.qkRopeHeadDim) + heads * c.vHeadDim * d
    // Without query compression q is no up-projection from a latent, but is computed again like one.
    let again = up + (c.qLoraRank == nil ? down : 0)
    return TokenWork(product: up + others)
      + TokenWork(inputGradient: recomputesUpProjections ? 2 * Double(again) : 0)
  }

  /// Causal: a token looks at (S + 1) / 2 keys in the mean. Forward has q kᵀ and p v; backward computes q kᵀ again, and
  /// dp, dq, dk, dv.
  private var core: TokenWork {
    let keys = Double(length + 1) / 2
    let (qk, v) = (Double(model.qkHeadDim), Double(model.vHeadDim))
    let unit = 2 * Double(model.numAttentionHeads) * keys
    return TokenWork(forward: unit * (qk + v), inputGradient: unit * (3 * qk + 2 * v))
  }
}
