internal import Communication
package import Model
internal import Parallel
internal import Tensors

/// What the parameters of a model cost the ranks that hold them: the one place where bytes of weights, gradients and
/// moments are counted.
package struct ParameterAccount: Sendable {
  /// What a rank holds for its parameters, in bytes.
  package struct Held: Sendable, Hashable {
    package var parameters = 0
    /// The float32 master.
    package var masters = 0
    /// What products read beside it: numbers, codes with their scales.
    package var copies = 0
    /// Weights that are kept packed, as most levels have them; those that multiply pairs of bfloat16 take half.
    package var packed = 0
    /// float32 sums.
    package var gradients = 0
    /// Of the owned elements.
    package var moments = 0
    /// The copy of owned masters and moments, and of router biases, that is written while training goes on.
    package var snapshot = 0

    package var weights: Int { masters + copies + packed }
    package var total: Int { weights + gradients + moments + snapshot }
  }

  /// Ranks of the pipeline by segment, and the ranks that share each of their places.
  private let holders: [[Int]]
  private let data, expertData: Int
  /// By segment, as one of the ranks that share experts has them.
  package let segments: [[ParameterShape]]
  private let compute: DType
  private let fallsBack: Bool
  private let packedLayouts: Int
  private let momentBytes: Int
  private let gradientBytes: Int
  private let hasSnapshot: Bool
  /// Of each layer with experts.
  private let routerBiases: Int

  /// Of a model that is trained by ranks of this layout.
  package init(_ configuration: RunConfiguration, _ model: ModelConfiguration, _ layout: RankLayout) {
    let precision = configuration.precision
    segments = ParameterShape.segments(
      of: model, float8: Float8Policy(precision), expertRanks: layout.expert)
    (compute, fallsBack) = (precision.mode.dtype, precision.fallsBack)
    (holders, data, expertData) = (layout.holders(in: model), layout.data, layout.data / layout.expert)
    packedLayouts = configuration.training.packedWeights.layouts.count
    momentBytes = configuration.optimizer.moments == .float32 ? 4 : 2
    gradientBytes = configuration.parallel.gradients.payload == .float32 ? 4 : 2
    hasSnapshot = configuration.checkpoint.savesInBackground
    routerBiases = model.hasRouterBias ? model.nRoutedExperts : 0
  }

  /// Of a model that is only computed with, on one rank.
  package init(_ precision: PrecisionSection, _ model: ModelConfiguration) {
    segments = ParameterShape.segments(of: model, float8: Float8Policy(precision))
    (compute, fallsBack) = (precision.mode.dtype, precision.fallsBack)
    (holders, data, expertData) = (segments.map { _ in [0] }, 1, 1)
    (packedLayouts, momentBytes, gradientBytes) = (0, 0, 0)
    (hasSnapshot, routerBiases) = (false, 0)
  }

  /// The ranks that hold copies of a segment's parameters, and divide their update (ZeRO-1).
  package func replicas(segment: Int, ofExperts: Bool) -> Int {
    holders[segment].count * (ofExperts ? expertData : data)
  }

  /// What a rank of the pipeline holds; the largest share, where shares differ by a cache line.
  package func held(by pipelineRank: Int = 0) -> Held {
    var held = Held()
    for segment in segments.indices where holders[segment].contains(pipelineRank) {
      add(segment, to: &held)
    }
    return held
  }

  /// What a part of the model takes on one rank that computes with all of it.
  package func held(segments chosen: Range<Int>) -> Held {
    var held = Held()
    for segment in chosen { add(segment, to: &held) }
    return held
  }

  private func add(_ segment: Int, to held: inout Held) {
    for shape in segments[segment] {
      held.parameters += shape.count
      held.masters += 4 * shape.count
      held.copies += copyBytes(shape)
      held.gradients += 4 * shape.count
      if shape.use == .product, shape.float8 == nil { held.packed += 4 * packedLayouts * shape.count }
    }
    for ofExperts in [false, true] {
      let count = elements(segment, ofExperts: ofExperts)
      let replicas = replicas(segment: segment, ofExperts: ofExperts)
      let owned = (count + replicas - 1) / replicas
      held.moments += 2 * momentBytes * owned
      if hasSnapshot { held.snapshot += (4 + 2 * momentBytes) * owned }
    }
    if hasSnapshot, segments[segment].contains(where: \.isOfExperts) { held.snapshot += 4 * routerBiases }
  }

  /// A layer that leaves FP8 has numbers instead of its codes.
  private func copyBytes(_ shape: ParameterShape) -> Int {
    let numbers = 2 * shape.count
    let codes = shape.codeBytes
    guard shape.hasRoundedCopy(compute) else {
      return fallsBack && codes > 0 ? max(numbers, codes) : codes
    }
    return numbers + codes
  }

  /// Elements of a segment that are, or are not, of experts.
  package func elements(_ segment: Int, ofExperts: Bool) -> Int {
    segments[segment].reduce(0) { $0 + ($1.isOfExperts == ofExperts ? $1.count : 0) }
  }

  /// What a rank of the pipeline sends in a step, in bytes: gradients that others own, and what it has updated to those
  /// with copies. The mean over the ranks of a group, whose parts are equal but for cache lines.
  package func sent(by pipelineRank: Int) -> (gradients: Double, parameters: Double) {
    var sent = (gradients: 0.0, parameters: 0.0)
    for segment in segments.indices where holders[segment].contains(pipelineRank) {
      for shape in segments[segment] {
        let replicas = Double(replicas(segment: segment, ofExperts: shape.isOfExperts))
        let elements = Double(shape.count) * (replicas - 1) / replicas
        sent.gradients += elements * Double(gradientBytes)
        // Matrices in FP8 travel as masters, of which each rank makes its codes.
        let isRounded = shape.float8 == nil && shape.hasRoundedCopy(compute)
        sent.parameters += elements * (isRounded ? 2 : 4)
      }
    }
    return sent
  }

  /// Memory of gradients that arrive, and that leave rounded: of two segments at once, the largest ones of a rank.
  package func gradientBuffers(of pipelineRank: Int) -> Int {
    let sizes = segments.indices.filter { holders[$0].contains(pipelineRank) }.map { segment in
      [false, true].reduce(0) { sum, ofExperts in
        let count = elements(segment, ofExperts: ofExperts)
        let replicas = replicas(segment: segment, ofExperts: ofExperts)
        guard replicas > 1 else { return sum }
        let arriving = count / replicas * (replicas - 1) * gradientBytes
        return sum + arriving + (gradientBytes == 2 ? 2 * count : 0)
      }
    }
    return sizes.sorted(by: >).prefix(2).reduce(0, +)
  }
}
