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
    if let exchange = context.exchange {
      return exchanged(x, weights, routed.selection.indices, exchange, context)
    }
    let y = experts(x, weights, routed.plan, context, context.tape)
    guard let shared else { return [y] }
    return [y, shared(x, context)]
  }

  private func experts(
    _ x: Variable, _ weights: Variable, _ plan: RoutingPlan, _ context: ForwardContext, _ tape: Tape,
    isCountedElsewhere: (x: Bool, dy: Bool) = (false, false)
  ) -> Variable {
    let experts = Experts.Inputs(x: x, weights: weights, plan: plan, gateUp: gateUp, down: down)
    guard let float8 else { return tape.apply(Experts.self, experts).output }
    let inputs = QuantizedExperts.Inputs(
      experts, float8, monitor: monitor(context, tape), isCountedElsewhere: isCountedElsewhere)
    return tape.apply(QuantizedExperts.self, inputs).output
  }

  /// A pass that does not record comes again in backward, and is counted there.
  private func monitor(_ context: ForwardContext, _ tape: Tape) -> Float8Monitor? {
    tape.isRecording ? context.monitor : nil
  }

  /// The same with experts on other ranks: either half of the shared expert is computed while rows travel. Where more
  /// rows would arrive than there is room for, they go slice by slice, and nothing is hidden.
  private func exchanged(
    _ x: Variable, _ weights: Variable, _ indices: Tensor, _ exchange: any ExpertExchange,
    _ context: ForwardContext
  ) -> [Variable] {
    let (tape, layer) = (context.tape, layer)
    let slices = exchange.slices(indices, layer: layer)
    guard slices.count > 1 else {
      var h: Variable?
      var beside: [Variable] = []
      let y = routed(
        x, weights, exchange.route(indices, layer: layer), context, tape,
        besideDispatch: { h = shared?.hidden(x, context) },
        besideCombine: { beside = h.flatMap { h in shared.map { [$0.output(h, context)] } } ?? [] })
      return [y] + beside
    }
    let inputs = TokenSlices.Inputs(x: x, weights: weights, slices: slices) { x, weights, slice, tape in
      routed(x, weights, exchange.route(indices.rows(slice), layer: layer), context, tape)
    }
    let y = tape.apply(TokenSlices.self, inputs).output
    return [y] + (shared.map { [$0(x, context)] } ?? [])
  }

  /// To the experts and back.
  private func routed(
    _ x: Variable, _ weights: Variable, _ route: any ExpertRoute, _ context: ForwardContext, _ tape: Tape,
    besideDispatch: () -> Void = {}, besideCombine: () -> Void = {}
  ) -> Variable {
    // What the experts would quantize travels as codes.
    let dispatched = float8.flatMap { $0.gemms.contains(.fprop) ? $0.dispatched : nil }
    let gradients = float8.flatMap { $0.gemms.contains(.dgrad) ? $0.dispatchedGradients : nil }
    let monitor = monitor(context, tape)
    let counters = (
      x: dispatched.flatMap { _ in monitor?.statistics(gateUp, .activation, .rows) },
      dy: gradients.flatMap { _ in monitor?.statistics(down, .gradient, .rows) }
    )
    let leaving = tape.apply(
      DispatchStart.self,
      DispatchStart.Inputs(
        x: x, weights: weights, route: route, codes: dispatched, statistics: counters.x)
    ).output
    besideDispatch()
    let (arrived, dispatch) = tape.apply(
      DispatchFinish.self, DispatchFinish.Inputs(underWay: leaving, route: route, codes: dispatched))
    let rows = experts(
      arrived, dispatch.weights, route.plan, context, tape,
      isCountedElsewhere: (dispatched != nil, gradients != nil))
    let returning = tape.apply(CombineStart.self, CombineStart.Inputs(y: rows, route: route)).output
    // What is sent keeps its memory itself, and backward does not read it.
    if tape.isRecording { rows.forget() }
    besideCombine()
    let inputs = CombineFinish.Inputs(
      underWay: returning, route: route, codes: gradients, statistics: counters.dy)
    return tape.apply(CombineFinish.self, inputs).output
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
