import Autograd
import Tensors

/// The routed experts under a given routing.
extension OperationCase {
  static var expertsCases: [OperationCase] {
    // Experts 1 and 6 receive nothing; expert 4 receives one token.
    [
      experts("some empty", [[0, 3], [5, 0], [2, 3], [3, 0], [4, 5], [5, 3], [2, 0]], of: 7),
      experts("all tokens to one", [[1], [1], [1]], of: 3),
    ]
  }

  private static func experts(_ variant: String, _ routing: [[Int]], of experts: Int) -> OperationCase {
    let (width, inner, tokens, selected) = (9, 5, routing.count, routing[0].count)
    var weights = Leaf.variable("weights", [tokens, selected])
    weights.isAlwaysFloat32 = true
    return OperationCase(
      Experts.self, variant,
      leaves: [
        .variable("x", [tokens, width]), weights,
        .parameter("gateUp", [experts, 2 * inner, width], scale: 0.5),
        .parameter("down", [experts, width, inner], scale: 0.5),
      ], roundings: width + inner + tokens + 12,
      inputs: { graph in
        let indices = Tensor([tokens, selected], routing.flatMap { $0.map(Int32.init) }, on: graph.device)
        return Experts.Inputs(
          x: graph.variable("x"), weights: graph.variable("weights"),
          plan: RoutingPlan(indices, experts: experts), gateUp: graph.parameter("gateUp"),
          down: graph.parameter("down"))
      },
      reference: { x in
        var y = [Double](repeating: 0, count: tokens * width)
        for t in 0..<tokens {
          for k in 0..<selected {
            let e = routing[t][k]
            let gateUp = Array(x["gateUp"]![e * 2 * inner * width..<(e + 1) * 2 * inner * width])
            let down = Array(x["down"]![e * width * inner..<(e + 1) * width * inner])
            let h = product(Array(x["x"]![t * width..<(t + 1) * width]), gateUp, inputs: width)
            let a = (0..<inner).map { h[$0] * sigmoid(h[$0]) * h[inner + $0] }
            for (i, value) in product(a, down, inputs: inner).enumerated() {
              y[t * width + i] += x["weights"]![t * selected + k] * value
            }
          }
        }
        return y
      })
  }
}
