internal import Autograd
package import Tensors

/// Routed experts, shared experts and the router: `y = Σ_i w_i FFN_i(x) + FFN_shared(x)`.
/// Source: DeepSeek-V3, arXiv:2412.19437, equations 12 to 16.
package struct MixtureOfExperts {
  private let gate, gateUp, down: Parameter
  private let shared: FeedForward?
  private let settings: RouterSettings
  /// The experts that this rank holds.
  private let held: Range<Int>
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
    let float8 = factory.float8(.routedExperts, layer: layer)
    held = factory.share.experts(of: c.nRoutedExperts)
    gateUp = factory.expertGateUp(name + ".experts", held, inner: inner, width: d, float8)
    down = factory.expertDown(name + ".experts", held, inner: inner, width: d, float8)
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

  /// nil for products of numbers.
  private var float8: Float8Settings? { gateUp.float8 }

  /// Whether codes of the input are what backward reads; but for the router, which reads numbers.
  var keepsCodes: Bool { float8?.gemms.contains(.wgrad) == true && shared?.keepsCodes != false }

  /// The routed part and the shared one: the norm that follows adds them to the residual stream.
  func callAsFunction(_ x: Variable, _ context: ForwardContext) -> [Variable] {
    let inputs = Router.Inputs(x: x, gate: gate, bias: bias, settings: settings, balance: context.balance)
    let (weights, routed) = context.tape.apply(Router.self, inputs)
    context.note(
      LayerRouting(
        layer: layer, selection: routed.selection, counts: routed.plan.counts, balanceLoss: routed.balanceLoss
      ))
    if let exchange = context.exchange {
      return exchanged(x, weights, exchange.route(routed.selection.indices, layer: layer), context)
    }
    let y = experts(x, weights, routed.plan, context)
    guard let shared else { return [y] }
    return [y, shared(x, context)]
  }

  private func experts(
    _ x: Variable, _ weights: Variable, _ plan: RoutingPlan, _ context: ForwardContext
  ) -> Variable {
    let experts = Experts.Inputs(x: x, weights: weights, plan: plan, gateUp: gateUp, down: down)
    guard let float8 else { return context.tape.apply(Experts.self, experts).output }
    let inputs = QuantizedExperts.Inputs(experts, float8, monitor: context.monitor)
    return context.tape.apply(QuantizedExperts.self, inputs).output
  }

  /// The same with experts on other ranks: either half of the shared expert is computed while rows travel.
  private func exchanged(
    _ x: Variable, _ weights: Variable, _ route: any ExpertRoute, _ context: ForwardContext
  ) -> [Variable] {
    let tape = context.tape
    // What the experts would quantize travels as codes.
    let dispatched = float8.flatMap { $0.gemms.contains(.fprop) ? $0.dispatched : nil }
    let gradients = float8.flatMap { $0.gemms.contains(.dgrad) ? $0.dispatchedGradients : nil }
    let leaving = tape.apply(
      DispatchStart.self, DispatchStart.Inputs(x: x, weights: weights, route: route, codes: dispatched)
    ).output
    let h = shared?.hidden(x, context)
    let (arrived, dispatch) = tape.apply(
      DispatchFinish.self, DispatchFinish.Inputs(underWay: leaving, route: route))
    let rows = experts(arrived, dispatch.weights, route.plan, context)
    let returning = tape.apply(CombineStart.self, CombineStart.Inputs(y: rows, route: route)).output
    let beside = h.flatMap { h in shared.map { $0.output(h, context) } }
    let y = tape.apply(
      CombineFinish.self, CombineFinish.Inputs(underWay: returning, route: route, codes: gradients)
    ).output
    return [y] + (beside.map { [$0] } ?? [])
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
