internal import Autograd
package import Tensors

/// Routed experts, shared experts and the router: `y = Σ_i w_i FFN_i(x) + FFN_shared(x)`.
/// Source: DeepSeek-V3, arXiv:2412.19437, equations 12 to 16.
package struct MixtureOfExperts {
  private let gate, gateUp, down: Parameter
  private let shared: FeedForward?
  private let settings: RouterSettings
  private let float8: Float8Settings?
  /// Added to the scores for selection only; float32 `[E]`.
  package let bias: Tensor
  package let layer: Int

  init(_ configuration: ModelConfiguration, layer: Int, _ factory: ParameterFactory, prefix: String) {
    let (c, name) = (configuration, prefix + ".mlp")
    let (d, inner) = (c.hiddenSize, c.moeIntermediateSize)
    gate = factory.matrix(name + ".gate", [c.nRoutedExperts, d], compute: .float32)
    bias =
      c.hasRouterBias
      ? factory.buffer(name + ".gate.e_score_correction_bias", c.nRoutedExperts)
      : Tensor.zeros([c.nRoutedExperts], on: factory.device)
    float8 = factory.float8(.routedExperts, layer: layer)
    gateUp = factory.expertGateUp(
      name + ".experts", experts: c.nRoutedExperts, inner: inner, width: d, float8)
    down = factory.expertDown(name + ".experts", experts: c.nRoutedExperts, inner: inner, width: d, float8)
    let sharedFloat8 = factory.float8(.sharedExperts, layer: layer)
    shared =
      c.nSharedExperts == 0
      ? nil
      : FeedForward(
        inner: c.nSharedExperts * inner, width: d, factory, prefix: name + ".shared_experts", sharedFloat8,
        scales: float8 == nil ? nil : sharedFloat8?.dispatched)
    settings = RouterSettings(c)
    self.layer = layer
  }

  /// Whether codes of the input are what backward reads; but for the router, which reads numbers.
  var keepsCodes: Bool { float8?.gemms.contains(.wgrad) == true && shared?.keepsCodes != false }

  /// How the input is written: as codes too, where experts read them; the router reads numbers.
  func coding(_ context: ForwardContext) -> RowCoding? {
    guard let float8 else {
      return shared?.coding(context).map { RowCoding($0.scales, keepsNumbers: true) }
    }
    let isRead = float8.gemms.contains(.fprop) || (float8.gemms.contains(.wgrad) && context.tape.isRecording)
    return isRead ? RowCoding(float8.dispatched, keepsNumbers: true) : nil
  }

  /// The routed part and the shared one: the norm that follows adds them to the residual stream.
  func callAsFunction(_ x: Variable, _ context: ForwardContext) -> [Variable] {
    let inputs = Router.Inputs(x: x, gate: gate, bias: bias, settings: settings, balance: context.balance)
    let (weights, routed) = context.tape.apply(Router.self, inputs)
    context.note(
      LayerRouting(
        layer: layer, selection: routed.selection, counts: routed.plan.counts, balanceLoss: routed.balanceLoss
      ))
    let experts = Experts.Inputs(x: x, weights: weights, plan: routed.plan, gateUp: gateUp, down: down)
    let y =
      if let float8 {
        context.tape.apply(QuantizedExperts.self, QuantizedExperts.Inputs(experts, float8)).output
      } else {
        context.tape.apply(Experts.self, experts).output
      }
    guard let shared else { return [y] }
    return [y, shared(x, context)]
  }
}

extension RouterSettings {
  /// The router of a model's layers.
  package init(_ c: ModelConfiguration) {
    self.init(
      experts: c.nRoutedExperts, selected: c.numExpertsPerTok, groups: c.routingGroups,
      keptGroups: c.topkMethod == .greedy ? 1 : c.topkGroup,
      groupScore: c.topkMethod == .noauxTC ? .topTwoSum : .maximum, softmax: c.scoringFunc == .softmax,
      normalize: c.normTopkProb, scale: c.routedScalingFactor)
  }
}
