import Autograd
import Tensors
import Testing

/// The operations that send tokens to experts and fetch the results, over a route that stays in this process.
struct ExchangeOperationTests {
  static let operations = [
    DispatchStart.name, DispatchFinish.name, CombineStart.name, CombineFinish.name,
    TokenSlices.name,
  ]

  private static let routing: [[Int32]] = [[0, 3], [5, 0], [2, 3], [3, 0], [4, 5], [5, 3], [2, 0]]

  /// Output and gradients by the name of the leaf.
  private func run(
    _ leaves: [Leaf], exchanged: Bool, compute: DType, codes: ScaleSettings? = nil,
    slices: [Range<Int>]? = nil, on device: Device
  ) -> [(name: String, values: [Float])] {
    let graph = Graph(leaves, compute: compute, on: device)
    let (tape, x, weights) = (graph.tape, graph.variable("x"), graph.variable("weights"))
    let indices = Tensor([Self.routing.count, 2], Self.routing.flatMap { $0 }, on: device)
    func experts(
      _ x: Variable, _ weights: Variable, _ plan: RoutingPlan, _ tape: Tape
    ) -> Variable {
      let inputs = Experts.Inputs(
        x: x, weights: weights, plan: plan, gateUp: graph.parameter("gateUp"), down: graph.parameter("down"))
      return tape.apply(Experts.self, inputs).output
    }
    let y: Variable
    if let slices {
      let inputs = TokenSlices.Inputs(x: x, weights: weights, slices: slices) { x, weights, slice, tape in
        experts(x, weights, RoutingPlan(indices.rows(slice), experts: 7), tape)
      }
      y = tape.apply(TokenSlices.self, inputs).output
    } else if exchanged {
      let route = HereRoute(indices, experts: 7, boundary: 3)
      let leaving = tape.apply(
        DispatchStart.self, DispatchStart.Inputs(x: x, weights: weights, route: route, codes: codes)
      ).output
      let (rows, saved) = tape.apply(
        DispatchFinish.self, DispatchFinish.Inputs(underWay: leaving, route: route, codes: codes))
      let made = experts(rows, saved.weights, route.plan, tape)
      let returning = tape.apply(CombineStart.self, CombineStart.Inputs(y: made, route: route)).output
      let inputs = CombineFinish.Inputs(underWay: returning, route: route, codes: codes)
      y = tape.apply(CombineFinish.self, inputs).output
    } else {
      y = experts(x, weights, RoutingPlan(indices, experts: 7), tape)
    }
    let value = y.value.numbers
    let upstream = Leaf.variable("upstream", y.value.shape).rounded()
    let dy = Tensor(y.value.shape, upstream.values, on: device).converted(to: compute)
    tape.backward(from: [(y, dy)])
    return [("y", value)] + leaves.map { ($0.name, graph.gradient($0)!) }
  }

  private var leaves: [Leaf] {
    var weights = Leaf.variable("weights", [Self.routing.count, 2])
    weights.isAlwaysFloat32 = true
    return [
      .variable("x", [Self.routing.count, 10]), weights, .parameter("gateUp", [7, 2 * 5, 10], scale: 0.5),
      .parameter("down", [7, 10, 5], scale: 0.5),
    ].map { $0.rounded() }
  }

  /// A token whose experts are in two places is two rows, of which each has one of the experts: the sums are those of
  /// one place, in another order.
  @Test(arguments: Device.supportedLevels())
  func sameAsExpertsInOnePlace(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let expected = run(leaves, exchanged: false, compute: .float32, on: device)
    let found = run(leaves, exchanged: true, compute: .float32, on: device)
    for (found, expected) in zip(found, expected) {
      let tolerance = float32Tolerance(roundings: 40, expected.values.map(Double.init))
      #expect(
        firstDifference(found.values, expected.values.map(Double.init), within: tolerance) == nil,
        "\(found.name)")
    }
  }

  /// A token's own numbers do not depend on the slice that it is in; gradients of parameters are sums in another order.
  @Test(arguments: [[0..<7], [0..<3, 3..<3, 3..<7], [0..<1, 1..<6, 6..<7]])
  func sameSliceBySlice(slices: [Range<Int>]) throws {
    let device = try Device(threads: 2)
    let expected = run(leaves, exchanged: false, compute: .float32, on: device)
    let found = run(leaves, exchanged: false, compute: .float32, slices: slices, on: device)
    for (found, expected) in zip(found, expected) {
      let tolerance = float32Tolerance(roundings: 40, expected.values.map(Double.init))
      #expect(
        firstDifference(found.values, expected.values.map(Double.init), within: tolerance) == nil,
        "\(found.name)")
    }
  }

  /// In FP8 experts receive what the codes stand for, and so do gradients.
  @Test func rowsTravelAsCodes() throws {
    let device = try Device(threads: 2)
    let scales = ScaleSettings(powerOfTwo: true, amaxFloor: 1e-30)
    var decoded = leaves
    let x = Tensor(leaves[0].shape, leaves[0].values, on: device)
    decoded[0].values = quantizeRows(x.converted(to: .bfloat16), scales).dequantized(to: .float32).numbers
    let found = run(leaves, exchanged: true, compute: .bfloat16, codes: scales, on: device)
    let expected = run(decoded, exchanged: true, compute: .bfloat16, on: device)
    #expect(found[0].values == expected[0].values, "y")
    let plain = run(leaves, exchanged: true, compute: .bfloat16, on: device)
    #expect(found[0].values != plain[0].values, "codes make a difference")
    #expect(found[1].values != expected[1].values, "dy travels as codes too")
  }
}
