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
        DispatchFinish.self, DispatchFinish.Inputs(underWay: leaving, route: route))
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

/// Two places of one process: experts below a boundary, and the others.
private final class HereRoute: ExpertRoute {
  let plan: RoutingPlan
  private let tokens: Tensor
  /// `[T, 2]`: the row of each token in either place; -1 for none.
  private let positions: Tensor
  private var scattered: (rows: Operand, weights: Tensor?)?
  private var gathered: (rows: Tensor, weights: Tensor?)?

  init(_ indices: Tensor, experts: Int, boundary: Int) {
    let (count, selected, device) = (indices.rows, indices.columns, indices.device)
    let index = Array(indices.elements(Int32.self))
    var (tokens, local): ([Int32], [Int32]) = ([], [])
    var positions = [Int32](repeating: -1, count: 2 * count)
    for place in 0..<2 {
      for t in 0..<count {
        let here = index[t * selected..<(t + 1) * selected].map { ($0 < boundary) == (place == 0) ? $0 : -1 }
        guard here.contains(where: { $0 >= 0 }) else { continue }
        positions[2 * t + place] = Int32(tokens.count)
        tokens.append(Int32(t))
        local += here
      }
    }
    self.tokens = Tensor([tokens.count], tokens, on: device)
    self.positions = Tensor([count, 2], positions, on: device)
    plan = RoutingPlan(Tensor([tokens.count, selected], local, on: device), experts: experts)
  }

  func startScatter(_ rows: Operand, weights: Tensor?) {
    let arrived: Operand
    switch rows {
    case .numbers(let x): arrived = .numbers(gatherRows(x, tokens))
    case .codes(let x):
      let y = QuantizedTensor(
        rows: [tokens.count, x.codes.columns], hasPowerOfTwoScales: x.hasPowerOfTwoScales, on: x.device)
      let (codes, scales) = (gatherRows(x.codes, tokens), gatherRows(x.scales, tokens))
      y.codes.pointer.copyMemory(from: codes.pointer, byteCount: codes.byteCount)
      y.scales.pointer.copyMemory(from: scales.pointer, byteCount: scales.byteCount)
      arrived = .codes(y)
    }
    scattered = (arrived, weights.map { gatherRows($0, tokens) })
  }

  func finishScatter() -> (rows: Operand, weights: Tensor?) {
    defer { scattered = nil }
    return scattered!
  }

  func startGather(_ rows: Tensor, weights: Tensor?) { gathered = (rows, weights) }

  func finishGather() -> (rows: Tensor, weights: Tensor?) {
    defer { gathered = nil }
    let (rows, weights) = gathered!
    return (
      combineRows(rows, positions: positions), weights.map { combineRows($0, positions: positions) }
    )
  }
}
