package import Autograd
package import Model
internal import Tensors

/// The `precision.fp8` section: what FP8 means where `mode` asks for it.
package struct Float8Section: Sendable, Hashable {
  package var matrices: [Float8Policy.MatrixGroup] = [.attention, .dense, .sharedExperts, .routedExperts]
  package var gemms = Float8Settings.GEMM.allCases
  package var activationScales = Scales.float32
  package var gradientScales = Scales.float32
  package var weightScales = Scales.float32
  package var amaxFloor: Float = ScaleSettings().amaxFloor
  package var gradientAmaxFloor = Float8Settings.gradientFloor
  package var swigluInput = SwiGLUInput.fp8
  package var attentionOutput = AttentionOutput.e5m6
  /// Layers of the main model.
  package var bfloat16FirstLayers = 0
  package var bfloat16LastLayers = 0
  /// Steps; nil for never.
  package var healthEvery: Int? = 100
  package var fallBack = FallBack.off
  /// A share of the elements of an operand.
  package var flushedLimit = 0.1
  /// Relative.
  package var shadowLimit = 0.125

  package init() {}

  package enum Scales: String, Sendable, CaseIterable {
    case float32
    case powerOfTwo = "power_of_two"
  }

  package enum SwiGLUInput: String, Sendable, CaseIterable { case fp8, bfloat16 }
  package enum AttentionOutput: String, Sendable, CaseIterable { case e5m6, bfloat16 }

  static let schema = Schema<Float8Section>(
    initial: Float8Section(), fields: productFields + scaleFields + activationFields + healthFields,
    rules: [
      .init("matrices") { fault($0.matrices) },
      .init("gemms") { fault($0.gemms) },
      .init("weight_scales", "gemms") {
        $0.fault(\.weightScales, needs: $0.gemms.contains { $0 != .wgrad }, "fprop or dgrad among gemms")
      },
      .init("activation_scales", "gemms") {
        $0.fault(\.activationScales, needs: $0.gemms.contains { $0 != .dgrad }, "fprop or wgrad among gemms")
      },
      .init("gradient_scales", "gemms") {
        $0.fault(\.gradientScales, needs: $0.gemms != [.fprop], "dgrad or wgrad among gemms")
      },
      .init("gradient_amax_floor", "gemms") {
        $0.fault(\.gradientAmaxFloor, needs: $0.gemms != [.fprop], "dgrad or wgrad among gemms")
      },
      .init("attention_output", "matrices") {
        $0.fault(\.attentionOutput, needs: $0.matrices.contains(.attention), "attention among matrices")
      },
      .init("swiglu_input", "matrices") {
        $0.fault(
          \.swigluInput, needs: $0.matrices.contains { $0 != .attention && $0 != .mtpProjection },
          "dense, shared_experts or routed_experts among matrices")
      },
    ] + healthRules)

  private static func fault<Value: Hashable>(_ list: [Value]) -> String? {
    if list.isEmpty { return "names nothing; for no FP8 at all set precision.mode to float32 or bfloat16" }
    return Set(list).count == list.count ? nil : "something is named twice"
  }

  /// An option that is set, and has nothing to act on.
  func fault<Value: Equatable>(
    _ option: KeyPath<Float8Section, Value>, needs isThere: Bool, _ what: String
  ) -> String? {
    isThere || self[keyPath: option] == Float8Section()[keyPath: option]
      ? nil : "has no effect without \(what)"
  }

  /// Matrices that are named and are not in the model, or are all in layers that stay in bfloat16.
  func fault(in model: ModelConfiguration) -> String? {
    let layers = model.numHiddenLayers
    if bfloat16FirstLayers + bfloat16LastLayers > layers {
      return "bfloat16_first_layers (\(bfloat16FirstLayers)) and bfloat16_last_layers "
        + "(\(bfloat16LastLayers)) are more than model.num_hidden_layers (\(layers))"
    }
    let modules = layers..<layers + model.numNextnPredictLayers
    let quantized = Array(bfloat16FirstLayers..<layers - bfloat16LastLayers) + modules
    var present: Set<Float8Policy.MatrixGroup> = modules.isEmpty ? [] : [.mtpProjection]
    for layer in quantized {
      let hasExperts = model.isMixtureOfExperts(layer: layer)
      present.formUnion(hasExperts ? [.attention, .routedExperts] : [.attention, .dense])
      if hasExperts, model.nSharedExperts > 0 { present.insert(.sharedExperts) }
    }
    if present.isDisjoint(with: matrices) { return "no matrix of this model would be FP8" }
    guard matrices != Float8Section().matrices, let absent = matrices.first(where: { !present.contains($0) })
    else { return nil }
    return "matrices names \(absent.rawValue), of which no layer that is not kept in bfloat16 has any"
  }

  private static let productFields: [Schema<Float8Section>.Field] = [
    .init(
      "matrices", \.matrices, ValueKind.choice(Float8Policy.MatrixGroup.self).list(),
      "groups of matrices whose products are FP8; the rest is bfloat16"),
    .init(
      "gemms", \.gemms, ValueKind.choice(Float8Settings.GEMM.self).list(),
      "which of their products: y = x Wᵀ, dx = dy W, dW = dyᵀ x"),
    .init(
      "bfloat16_first_layers", \.bfloat16FirstLayers, .integer(0...1_000_000),
      "layers from the start of the main model that stay in bfloat16"),
    .init(
      "bfloat16_last_layers", \.bfloat16LastLayers, .integer(0...1_000_000),
      "layers before the end of the main model that stay in bfloat16"),
  ]

  private static let scaleFields: [Schema<Float8Section>.Field] = [
    .init(
      "activation_scales", \.activationScales, .choice(Scales.self),
      "of 1 × 128 tiles of activations; always powers of two in what routed experts read, and shared ones with them"
    ),
    .init(
      "gradient_scales", \.gradientScales, .choice(Scales.self),
      "of tiles of gradients; always powers of two in what experts are sent"),
    .init("weight_scales", \.weightScales, .choice(Scales.self), "of 128 × 128 blocks of weights"),
    .init(
      "amax_floor", \.amaxFloor, .float(.notNegative),
      "what the largest magnitude of a tile counts as at least: activations and weights"),
    .init(
      "gradient_amax_floor", \.gradientAmaxFloor, .float(.notNegative),
      "the same for gradients, which shrink as the batch grows"),
  ]

  private static let activationFields: [Schema<Float8Section>.Field] = [
    .init(
      "swiglu_input", \.swigluInput, .choice(SwiGLUInput.self),
      "how the input of SwiGLU is kept for backward, where its matrices are FP8"),
    .init(
      "attention_output", \.attentionOutput, .choice(AttentionOutput.self),
      "how the output of attention is kept for backward, where `o_proj` is FP8"),
  ]
}

extension Float8Policy {
  /// What a run computes in FP8; nil for nothing.
  package init?(_ precision: PrecisionSection) {
    guard precision.mode == .fp8 else { return nil }
    self.init()
    let section = precision.fp8
    let isPower = { (scales: Float8Section.Scales) in scales == .powerOfTwo }
    matrices = Set(section.matrices)
    (firstLayers, lastLayers) = (section.bfloat16FirstLayers, section.bfloat16LastLayers)
    settings.gemms = Set(section.gemms)
    settings.weights = ScaleSettings(powerOfTwo: isPower(section.weightScales), amaxFloor: section.amaxFloor)
    settings.activations = ScaleSettings(
      powerOfTwo: isPower(section.activationScales), amaxFloor: section.amaxFloor)
    settings.dispatched = ScaleSettings(powerOfTwo: true, amaxFloor: section.amaxFloor)
    settings.gradients = ScaleSettings(
      powerOfTwo: isPower(section.gradientScales), amaxFloor: section.gradientAmaxFloor)
    settings.dispatchedGradients = ScaleSettings(powerOfTwo: true, amaxFloor: section.gradientAmaxFloor)
    settings.keepsSwiGLUInputAsCodes = section.swigluInput == .fp8
    settings.packsAttentionOutput = section.attentionOutput == .e5m6
  }
}
