import Autograd
import Tensors

/// A residual layer with a router and experts: every way that gradients join and that weight work is put off.
struct SmallNetwork {
  private static let (tokens, width, inner, experts) = (11, 7, 5, 4)

  let leaves: [Leaf] = [
    .variable("x", [tokens, width]), .parameter("gain", [width]), .parameter("w1", [2 * inner, width]),
    .parameter("w2", [width, inner]), .parameter("gate", [experts, width]),
    .parameter("gateUp", [experts, 2 * inner, width], scale: 0.5),
    .parameter("down", [experts, width, inner], scale: 0.5),
  ]

  /// What was recorded: the output, and the variables whose memory may be given back.
  struct Recorded {
    let output: Variable
    let normalized, hidden, activated: Variable
    let plan: RoutingPlan
    var forgettable: [Variable] { [normalized, hidden, activated] }
  }

  func record(_ graph: Graph) -> Recorded {
    let (tape, x) = (graph.tape, graph.variable("x"))
    let normalized = tape.apply(
      RMSNorm.self, RMSNorm.Inputs(x: x, gain: graph.parameter("gain"), epsilon: 1e-6)
    ).output
    let hidden = tape.apply(Linear.self, (normalized, graph.parameter("w1"))).output
    let activated = tape.apply(SwiGLU.self, SwiGLU.Inputs(hidden)).output
    let dense = tape.apply(Linear.self, (activated, graph.parameter("w2"))).output
    let settings = RouterSettings(
      experts: Self.experts, selected: 2, groups: 1, keptGroups: 1, groupScore: .maximum, softmax: false,
      normalize: true, scale: 1.5)
    var balance = BalanceLosses()
    balance.sequence = 0.3
    let bias = Tensor.zeros([Self.experts], on: graph.device)
    let routed = tape.apply(
      Router.self,
      Router.Inputs(
        x: normalized, gate: graph.parameter("gate"), bias: bias, settings: settings, balance: balance))
    let mixed = tape.apply(
      Experts.self,
      Experts.Inputs(
        x: normalized, weights: routed.output, plan: routed.saved.plan, gateUp: graph.parameter("gateUp"),
        down: graph.parameter("down"))
    ).output
    let both = tape.apply(Addition.self, (dense, mixed)).output
    let output = tape.apply(Addition.self, (x, both)).output
    return Recorded(
      output: output, normalized: normalized, hidden: hidden, activated: activated, plan: routed.saved.plan)
  }

  func outputGradient(on device: Device) -> Tensor {
    Tensor(
      [Self.tokens, Self.width], randomNumbers(Self.tokens * Self.width, "small network upstream"), on: device
    )
  }

  func gradients(_ graph: Graph) -> [[Float]] { leaves.map { graph.gradient($0)! } }

  /// The gradients of forward and backward in one go.
  func eager(on device: Device) -> [[Float]] {
    let graph = Graph(leaves, on: device)
    graph.tape.backward(from: [(record(graph).output, outputGradient(on: device))])
    return gradients(graph)
  }
}
