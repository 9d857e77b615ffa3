internal import Autograd
package import Tensors

/// The bytes that a micro-batch's forward pass keeps for its backward pass, by the tensors that each operation keeps.
///
/// Sizes are those of the memory pool's blocks. T tokens, D width; `e` bytes of a number in the compute type. What
/// backward computes again, a layer at a time, and gradients on their way come on top.
package struct KeptActivations: Sendable {
  package var model: ModelConfiguration
  package var compute: DType
  package var float8: Float8Policy?
  package var recomputation: Recomputation = []
  package var sequences, length: Int
  /// Ranks that share the experts of a layer; 1 without an exchange.
  package var expertRanks = 1
  /// Whether a balance loss keeps its slopes.
  package var hasBalanceLoss = false
  /// Whether attention stays within documents, and whether the modules of multi-token prediction do.
  package var masksDocuments = false
  package var masksPredictions = false

  package init(_ model: ModelConfiguration, compute: DType, sequences: Int, length: Int) {
    (self.model, self.compute, self.sequences, self.length) = (model, compute, sequences, length)
  }

  private var tokens: Int { sequences * length }
  private var exchanges: Bool { expertRanks > 1 }

  /// - Parameter rows: that reach the experts here.
  package func bytes(of stage: StageContents, rows: RoutedRows) -> Int {
    let layers = stage.layers.reduce(0) { $0 + block($1, rows) }
    var bytes = layers + (masksDocuments ? integers(tokens) : 0)
    if stage.hasEmbedding { bytes += integers(tokens) }
    guard stage.hasHead else { return bytes }
    // Labels and their factors, losses, and the gradient by the head's input, which forward has computed.
    let head = 3 * integers(tokens) + numbers(tokens, width)
    // The last norm: what it reads, reads again in backward, and gives.
    let norm = 2 * numbers(tokens, width) + integers(tokens)
    bytes += norm + head
    for depth in 0..<model.numNextnPredictLayers {
      bytes += module(model.numHiddenLayers + depth, rows) + norm + head
    }
    return bytes
  }

  private var width: Int { model.hiddenSize }

  /// The projection of the embedding and of the last hidden states, and the block.
  private func module(_ layer: Int, _ rows: RoutedRows) -> Int {
    let settings = float8?.settings(for: .mtpProjection, layer: layer, of: model.numHiddenLayers)
    let normed = recomputation.contains(.norms) ? 0 : 2 * numbers(tokens, width)
    let joined = keepsCodes(settings) ? codes(tokens, 2 * width) : numbers(tokens, 2 * width)
    // Ids, the embedding's rows, two norms' factors.
    return 3 * integers(tokens) + numbers(tokens, width) * (masksPredictions ? 2 : 1) + normed + joined
      + block(layer, rows)
  }

  /// Two norms, each with the sum that it reads, and the parts between.
  private func block(_ layer: Int, _ rows: RoutedRows) -> Int {
    let norms = 2 * (numbers(tokens, width) + integers(tokens))
    return norms + attention(settings(.attention, layer))
      + (model.isMixtureOfExperts(layer: layer)
        ? mixtureOfExperts(layer, rows) : feedForward(model.intermediateSize, settings(.dense, layer)))
  }

  private func settings(_ group: Float8Policy.MatrixGroup, _ layer: Int) -> Float8Settings? {
    float8?.settings(for: group, layer: layer, of: model.numHiddenLayers)
  }

  private func keepsCodes(_ settings: Float8Settings?) -> Bool {
    settings?.gemms.contains(.wgrad) ?? false
  }

  /// A norm's output, as the projections that read it keep it.
  private func normed(_ columns: Int, _ settings: Float8Settings?) -> Int {
    if keepsCodes(settings) { return codes(tokens, columns) }
    return recomputation.contains(.norms) ? 0 : numbers(tokens, columns)
  }

  /// With its input.
  private func attention(_ settings: Float8Settings?) -> Int {
    let (c, heads) = (model, model.numAttentionHeads)
    var bytes = normed(width, settings)
    if let rank = c.qLoraRank { bytes += numbers(tokens, rank) + integers(tokens) + normed(rank, settings) }
    bytes += numbers(tokens, c.kvLoraRank) + numbers(tokens, c.qkRopeHeadDim)
    bytes += integers(tokens) + normed(c.kvLoraRank, settings)
    if !recomputation.contains(.upProjections) {
      bytes += numbers(tokens, heads * c.qkHeadDim)
      bytes += numbers(tokens, heads * (c.qkNopeHeadDim + c.vHeadDim))
    }
    let output = heads * c.vHeadDim
    bytes += settings?.packsAttentionOutput == true ? packed(tokens, output) : numbers(tokens, output)
    // Of each softmax its largest exponent and its sum.
    return bytes + block(tokens * heads * 2 * 4)
  }

  /// With its input.
  private func feedForward(_ inner: Int, _ settings: Float8Settings?) -> Int {
    normed(width, settings) + hidden(tokens, inner, settings)
  }

  /// The input and the output of SwiGLU.
  private func hidden(_ rows: Int, _ inner: Int, _ settings: Float8Settings?) -> Int {
    let input = hiddenInput(rows, inner, settings)
    let isComputedAgain = settings != nil || recomputation.contains(.swiglu)
    return input + (isComputedAgain ? 0 : numbers(rows, inner))
  }

  private func hiddenInput(_ rows: Int, _ inner: Int, _ settings: Float8Settings?) -> Int {
    settings?.keepsSwiGLUInputAsCodes == true ? codes(rows, 2 * inner) : numbers(rows, 2 * inner)
  }

  private func mixtureOfExperts(_ layer: Int, _ rows: RoutedRows) -> Int {
    let (routed, shared) = (settings(.routedExperts, layer), settings(.sharedExperts, layer))
    let hasShared = model.nSharedExperts > 0
    let inner = model.moeIntermediateSize
    var bytes = router + expertInput(routed, shared)
    if hasShared { bytes += hidden(tokens, model.nSharedExperts * inner, shared) }
    let copies = Int(rows.copies.rounded())
    bytes += hiddenInput(copies, inner, routed)
    return exchanges ? bytes + exchange(Int(rows.arriving.rounded()), routed) : bytes
  }

  /// Scores, selection, weights, the order of rows, and the slopes of balance losses.
  private var router: Int {
    let slopes = hasBalanceLoss ? integers(sequences, model.nRoutedExperts) : 0
    return integers(tokens, model.nRoutedExperts) + 5 * integers(tokens, model.numExpertsPerTok) + slopes
  }

  /// What router and experts read.
  private func expertInput(_ routed: Float8Settings?, _ shared: Float8Settings?) -> Int {
    let hasShared = model.nSharedExperts > 0
    let isForgotten = keepsCodes(routed) && (!hasShared || keepsCodes(shared))
    let isReleased = isForgotten || recomputation.contains(.norms)
    let isKeptAsCodes = (hasShared && keepsCodes(shared)) || (keepsCodes(routed) && !exchanges)
    // Codes that forward made are there as long as the numbers are.
    let isRead = routed?.gemms.contains(.fprop) ?? false
    let lingers = !isReleased && isRead && !(hasShared && shared != nil && !keepsCodes(shared))
    return (isReleased ? 0 : numbers(tokens, width)) + (isKeptAsCodes || lingers ? codes(tokens, width) : 0)
  }

  /// Rows that came from other ranks, as they came, with weights, and the way that they took.
  private func exchange(_ arriving: Int, _ routed: Float8Settings?) -> Int {
    let selected = model.numExpertsPerTok
    let areCodes = routed?.gemms.contains(.fprop) ?? false
    let rows =
      (areCodes ? 0 : numbers(arriving, width))
      + (areCodes || keepsCodes(routed) ? codes(arriving, width) : 0)
    // As many leave.
    let way = integers(arriving) + 5 * integers(arriving, selected) + integers(tokens, expertRanks)
    return rows + way
  }

  private func block(_ bytes: Int) -> Int { MemoryPool.blockSize(bytes) }
  private func numbers(_ rows: Int, _ columns: Int) -> Int { block(rows * columns * compute.byteCount) }
  /// Also of float32 numbers.
  private func integers(_ rows: Int, _ columns: Int = 1) -> Int {
    block(rows * columns * DType.int32.byteCount)
  }
  private func tiles(_ rows: Int, _ columns: Int) -> Int { integers(rows, QuantizedTensor.tiles(columns)) }
  private func codes(_ rows: Int, _ columns: Int) -> Int { block(rows * columns) + tiles(rows, columns) }
  private func packed(_ rows: Int, _ columns: Int) -> Int {
    block(rows * ((columns + 1) / 2) * 3) + tiles(rows, columns)
  }
}
