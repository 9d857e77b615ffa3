import Autograd
import Tensors

/// The router: both scores, both group scores, with and without normalization, each balance loss.
extension OperationCase {
  static var routerCases: [OperationCase] {
    [
      router(
        "sigmoid, top-2 groups, normalized", softmax: false, .topTwoSum, groups: (4, 2), normalize: true),
      router("sigmoid, no groups, V3 balance", softmax: false, .topTwoSum, normalize: true) {
        $0.sequence = 0.7
      },
      router("softmax, maximum groups", softmax: true, .maximum, groups: (3, 2), normalize: false),
      router("softmax, V2 expert balance", softmax: true, .maximum, normalize: false) { $0.expert = 0.9 },
      router("softmax, V2 device balance", softmax: true, .maximum, groups: (4, 2), normalize: false) {
        ($0.device, $0.devices, $0.reachableDevices) = (0.8, 4, 2)
      },
      router("sigmoid, V2 communication balance", softmax: false, .maximum, groups: (4, 3), normalize: false)
      {
        ($0.communication, $0.devices, $0.reachableDevices) = (0.6, 4, 3)
      },
      router("softmax, all at once", softmax: true, .topTwoSum, groups: (3, 2), normalize: true) {
        ($0.sequence, $0.expert, $0.device, $0.communication) = (0.7, 0.9, 0.8, 0.6)
        ($0.devices, $0.reachableDevices, $0.globalSequences) = (3, 2, 5)
      },
    ]
  }

  private static func router(
    _ variant: String, softmax: Bool, _ score: RouterSettings.GroupScore, groups: (Int, Int) = (1, 1),
    normalize: Bool, _ losses: (inout BalanceLosses) -> Void = { _ in }
  ) -> OperationCase {
    let (tokens, width, experts) = (14, 9, 12)
    let settings = RouterSettings(
      experts: experts, selected: 3, groups: groups.0, keptGroups: groups.1, groupScore: score,
      softmax: softmax,
      normalize: normalize, scale: 2.5)
    var balance = BalanceLosses()
    (balance.sequences, balance.globalSequences) = (2, 2)
    losses(&balance)
    let bias = randomNumbers(experts, "bias", scale: softmax ? 0.02 : 0.2)
    let reference = RouterReference(settings: settings, bias: bias.map(Double.init), balance: balance)
    func scores(_ x: Numbers) -> [[Double]] {
      let logits = product(x["x"]!, x["gate"]!, inputs: width)
      return (0..<tokens).map { reference.scores(logits: Array(logits[$0 * experts..<($0 + 1) * experts])) }
    }
    return OperationCase(
      Router.self, variant,
      leaves: [.variable("x", [tokens, width]), .parameter("gate", [experts, width], scale: 0.4)],
      roundings: tokens + experts + width + 12, extra: \.balanceLoss,
      extraReference: { reference.balanceLoss(scores($0)) },
      inputs: { graph in
        Router.Inputs(
          x: graph.variable("x"), gate: graph.parameter("gate"),
          bias: Tensor([experts], bias, on: graph.device), settings: settings, balance: balance)
      },
      reference: { x in scores(x).flatMap(reference.weights) })
  }
}
