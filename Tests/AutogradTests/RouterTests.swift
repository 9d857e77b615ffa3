import Autograd
import Tensors
import Testing

/// What the gradient check does not show of the router: ties, what the bias may touch, and the plan.
struct RouterTests {
  private let device: Device
  init() throws { device = try Device(threads: 2) }

  private func settings(
    experts: Int, selected: Int, groups: (Int, Int) = (1, 1), _ score: RouterSettings.GroupScore = .topTwoSum,
    softmax: Bool = false, normalize: Bool = true
  ) -> RouterSettings {
    RouterSettings(
      experts: experts, selected: selected, groups: groups.0, keptGroups: groups.1, groupScore: score,
      softmax: softmax, normalize: normalize, scale: 2.5)
  }

  /// A router whose logits are x itself: the gate is the identity.
  private func route(
    _ rows: [[Float]], bias: [Float]? = nil, _ settings: RouterSettings
  ) -> (output: Variable, saved: Router.Saved) {
    let experts = settings.experts
    var gate = Leaf.parameter("gate", [experts, experts])
    gate.values = (0..<experts * experts).map { $0 % (experts + 1) == 0 ? 1 : 0 }
    let x = Leaf(name: "x", role: .variable, shape: [rows.count, experts], values: rows.flatMap { $0 })
    let graph = Graph([x, gate], on: device)
    let bias = Tensor([experts], bias ?? Array(repeating: 0, count: experts), on: device)
    return graph.tape.apply(
      Router.self,
      Router.Inputs(
        x: graph.variable("x"), gate: graph.parameter("gate"), bias: bias, settings: settings,
        balance: BalanceLosses()))
  }

  private func indices(_ saved: Router.Saved) -> [Int32] {
    Array(saved.selection.indices.elements(Int32.self))
  }

  @Test func tiesGoToTheLowerExpert() {
    let equal = [Float](repeating: 0.5, count: 9)
    #expect(indices(route([equal], settings(experts: 9, selected: 4)).saved) == [0, 1, 2, 3])
    // Two pairs of equals: 6 and 8 first, then 1 before 4.
    let pairs: [Float] = [0, 1, 0, 0, 1, 0, 2, 0, 2]
    #expect(indices(route([pairs], settings(experts: 9, selected: 3)).saved) == [6, 8, 1])
  }

  @Test(arguments: [RouterSettings.GroupScore.topTwoSum, .maximum])
  func tiedGroupsGoToTheLowerGroup(_ score: RouterSettings.GroupScore) {
    let tied: [Float] = [0, 1, 1, 1, 0, 1, 0, 0, 0]
    #expect(indices(route([tied], settings(experts: 9, selected: 2, groups: (3, 1), score)).saved) == [1, 2])
  }

  /// Group 0 has the largest score, group 1 the two largest together: V2 takes the one, V3 the other.
  @Test func theTwoGroupScoresDiffer() {
    let row: [Float] = [3, -9, -9, 2, 2, -9]
    let top2 = route([row], settings(experts: 6, selected: 2, groups: (2, 1), .topTwoSum)).saved
    let maximum = route([row], settings(experts: 6, selected: 2, groups: (2, 1), .maximum)).saved
    #expect(indices(top2) == [3, 4])
    #expect(indices(maximum) == [0, 1])
  }

  /// The bias decides who is selected; the weight is the raw score's share.
  @Test func biasTouchesTheSelectionOnly() {
    let row: [Float] = [0, 0, 0, 0]
    let (output, saved) = route([row], bias: [0, 0, 3, 0.5], settings(experts: 4, selected: 2))
    #expect(indices(saved) == [2, 3])
    #expect(output.value.numbers == [1.25, 1.25])
  }

  /// Not normalized: scores times the scale. sigmoid(0) = 1/2, softmax of four equals 1/4, both exact.
  @Test func weightsWithoutNormalization() {
    let row: [Float] = [0, 0, 0, 0]
    let sigmoid = route([row], settings(experts: 4, selected: 2, normalize: false))
    #expect(sigmoid.output.value.numbers == [1.25, 1.25])
    let softmax = route([row], settings(experts: 4, selected: 2, softmax: true, normalize: false))
    #expect(softmax.output.value.numbers == [0.625, 0.625])
  }

  /// Without balance losses the gradient reaches the selected experts alone.
  @Test func otherExpertsGetNoGradient() {
    let rows = 5
    var gate = Leaf.parameter("gate", [6, 3])
    gate.values = randomNumbers(18, "router tests gate")
    let graph = Graph([.variable("x", [rows, 3]), gate], on: device)
    let (output, saved) = graph.tape.apply(
      Router.self,
      Router.Inputs(
        x: graph.variable("x"), gate: graph.parameter("gate"),
        bias: Tensor([6], [9, 9, 0, 0, 0, 0] as [Float], on: device),
        settings: settings(experts: 6, selected: 2, normalize: false), balance: BalanceLosses()))
    #expect(indices(saved).allSatisfy { $0 < 2 })
    graph.tape.backward(from: [(output, Tensor([rows, 2], randomNumbers(rows * 2, "dw"), on: device))])
    let gradient = graph.gradient(gate)!
    #expect(gradient[6...].allSatisfy { $0 == 0 })
    #expect(gradient[..<6].allSatisfy { $0 != 0 })
  }

  /// A balanced router has the loss α for each sequence (§2.2: Σ f P = 1).
  @Test func aBalancedRouterLosesAlpha() {
    var balance = BalanceLosses()
    (balance.sequence, balance.sequences, balance.globalSequences) = (0.25, 2, 2)
    // Token t prefers expert t: each of 4 experts is first once a sequence.
    let rows = (0..<8).flatMap { t in (0..<4).map { $0 == t % 4 ? Float(2) : -2 } }
    var gate = Leaf.parameter("gate", [4, 4])
    gate.values = (0..<16).map { $0 % 5 == 0 ? 1 : 0 }
    let x = Leaf(name: "x", role: .variable, shape: [8, 4], values: rows)
    let graph = Graph([x, gate], on: device)
    let saved = graph.tape.apply(
      Router.self,
      Router.Inputs(
        x: graph.variable("x"), gate: graph.parameter("gate"), bias: Tensor.zeros([4], on: device),
        settings: settings(experts: 4, selected: 1), balance: balance)
    ).saved
    // Shares are float32 quotients.
    #expect(abs(saved.balanceLoss - 0.25) <= 0.25 * 0x1p-22)
  }

  /// Rows sorted by expert, tokens of one expert in order, and the way back.
  @Test func planSortsAndReturns() {
    let chosen: [Int32] = [2, 0, 4, 2, 0, 2, 2, 4]
    let plan = RoutingPlan(Tensor([4, 2], chosen, on: device), experts: 6)
    #expect(plan.offsets == [0, 2, 2, 6, 6, 8, 8])
    #expect(plan.counts == [2, 0, 4, 0, 2, 0])
    #expect(Array(plan.tokens.elements(Int32.self)) == [0, 2, 0, 1, 2, 3, 1, 3])
    #expect(Array(plan.slots.elements(Int32.self)) == [1, 4, 0, 3, 5, 6, 2, 7])
    let positions = plan.positions.elements(Int32.self)
    #expect(
      plan.slots.elements(Int32.self).enumerated().allSatisfy { positions[Int($0.element)] == $0.offset })
  }
}
