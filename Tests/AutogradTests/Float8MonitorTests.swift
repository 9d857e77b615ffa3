import Tensors
import Testing

@testable import Autograd

/// What a monitor counts and checks in operations on codes, against serial counts and Double products.
struct Float8MonitorTests {
  private typealias Counted = [Float8Monitor.Operand: CountedTiles]

  private static func settings(powerOfTwo: Bool) -> Float8Settings {
    var settings = Float8Settings()
    (settings.weights.powerOfTwo, settings.activations.powerOfTwo) = (powerOfTwo, powerOfTwo)
    settings.gradients.powerOfTwo = powerOfTwo
    return settings
  }

  private func operand(
    _ matrix: String, _ role: Float8Monitor.Role, _ tiling: QuantizedTensor.Tiling
  ) -> Float8Monitor.Operand { Float8Monitor.Operand(matrix: matrix, role: role, tiling: tiling) }

  /// Values over many binades: some of every tile are flushed.
  private func wide(_ name: String, _ shape: [Int]) -> Leaf {
    var leaf = Leaf.variable(name, shape)
    leaf.values = zip(leaf.values, randomNumbers(leaf.values.count, name + " exponents")).map {
      $0 * Float(sign: .plus, exponent: Int($1 * 7), significand: 1)
    }
    return leaf.rounded()
  }

  private func expect(_ monitor: Float8Monitor, _ expected: Counted) {
    #expect(Set(monitor.statistics.keys) == Set(expected.keys))
    for (operand, counted) in expected {
      #expect(monitor.statistics[operand].map { CountedTiles($0) } == counted, "\(operand)")
    }
  }

  // MARK: one matrix

  private let t = 135
  private let k = 140

  private func linear(
    _ settings: Float8Settings, outputs n: Int, keepsCodes: Bool, _ monitor: Float8Monitor?, on device: Device
  ) -> (graph: Graph, dy: Tensor, y: [Float]) {
    let leaves = [wide("x", [t, k]), .parameter("w", [n, k], scale: 0.1)]
    let graph = Graph(leaves, compute: .bfloat16, float8: settings, on: device)
    let (x, w) = (graph.variable("x"), graph.parameter("w"))
    let y = graph.tape.apply(
      QuantizedLinear.self,
      QuantizedLinear.Inputs(
        x: x, weight: w, settings: settings, scales: settings.activations, keepsCodes: keepsCodes,
        monitor: monitor)
    ).output
    let dy = Tensor([t, n], wide("dy", [t, n]).values, on: device).converted(to: .bfloat16)
    let value = y.value.numbers
    if let monitor { w.countCodes(monitor) }
    graph.tape.backward(from: [(y, dy)])
    return (graph, dy, value)
  }

  @Test(arguments: Device.supportedLevels(), [false, true])
  func everyOperandOfAMatrixIsCounted(level: String, keepsCodes: Bool) throws {
    for powerOfTwo in [false, true] {
      let settings = Self.settings(powerOfTwo: powerOfTwo)
      let monitor = Float8Monitor()
      let n = 150
      let run = linear(
        settings, outputs: n, keepsCodes: keepsCodes, monitor, on: try Device(threads: 3, level: level))
      let x = run.graph.variable("x").value
      let kept = quantizeRows(x, settings.activations).dequantized(to: .float32).numbers
      let dy = run.dy.numbers
      let (scales, gradients) = (settings.activations, settings.gradients)
      expect(
        monitor,
        [
          operand("w", .activation, .rows): .rows(x.numbers, columns: k, scales),
          operand("w", .activation, .columns): .columns(
            keepsCodes ? kept : x.numbers, columns: k, offsets: [0, t], scales),
          operand("w", .weight, .blocks): .blocks(
            run.graph.parameter("w").master.numbers, columns: k, period: n, settings.weights),
          operand("w", .gradient, .rows): .rows(dy, columns: n, gradients),
          operand("w", .gradient, .columns): .columns(dy, columns: n, offsets: [0, t], gradients),
        ])
      let flushed = monitor.statistics[operand("w", .gradient, .columns)]?.flushed ?? 0
      #expect(flushed > 100 && flushed < t * n / 2, "a case without flushed elements says little")
    }
  }

  /// Codes that another operation has made are counted for this one too.
  @Test func sharedCodesAreCountedForEachReader() throws {
    let device = try Device(threads: 2)
    let x = Variable(Tensor([t, k], wide("x", [t, k]).values, on: device).converted(to: .bfloat16))
    let counters = (QuantizationStatistics(), QuantizationStatistics())
    let first = x.codes(ScaleSettings(), statistics: counters.0)
    let second = x.codes(ScaleSettings(), statistics: counters.1)
    #expect(first.codes.pointer == second.codes.pointer)
    #expect(CountedTiles(counters.0) == CountedTiles(counters.1) && counters.0.elements == t * k)
  }

  @Test(arguments: Float8Settings.GEMM.allCases, [false, true])
  func shadowOfAMatrix(gemm: Float8Settings.GEMM, keepsCodes: Bool) throws {
    let (device, settings) = (try Device(threads: 2), Self.settings(powerOfTwo: false))
    let monitor = Float8Monitor(sample: .init(matrix: "w", gemm: gemm))
    let n = 37
    let plain = linear(settings, outputs: n, keepsCodes: keepsCodes, nil, on: device)
    let run = linear(settings, outputs: n, keepsCodes: keepsCodes, monitor, on: device)
    let results = [plain, run].map { run in
      run.y + run.graph.parameter("w").gradient.numbers + run.graph.variable("x").gradient!.numbers
    }
    #expect(firstDifferentBits(results[1], results[0]) == nil, "a check changes the result")

    let (x, w, dy) = (run.graph.variable("x").value, run.graph.parameter("w"), run.dy)
    let (s, g) = (settings.activations, settings.gradients)
    let rows = quantizeRows(x, s)
    let columns = keepsCodes ? requantizeColumns(rows, s) : quantizeColumns(x, s)
    let codes = (
      x: (gemm == .wgrad ? columns : rows).dequantized(to: .float32).numbers,
      dy: (gemm == .wgrad ? quantizeColumns(dy, g) : quantizeRows(dy, g)).dequantized(to: .float32).numbers,
      w: w.codes.dequantized(to: .float32).numbers
    )
    let exact = (x: x.numbers, dy: dy.numbers, w: w.master.numbers)
    let expected = relativeError(
      product(gemm, codes.x, codes.dy, codes.w, t, n, k), product(gemm, exact.x, exact.dy, exact.w, t, n, k))
    // Both products are rounded to float32 only in their sums.
    #expect(abs((monitor.shadowError ?? .nan) - expected) < 1e-5, "\(expected)")
    #expect(expected > 1e-3)
  }

  // MARK: experts

  /// The operation on 140 tokens; experts 1 and 6 receive nothing, expert 4 one token, expert 5 the most.
  private func experts(
    _ settings: Float8Settings, inner: Int, _ monitor: Float8Monitor?, on device: Device
  ) -> (inputs: Experts.Inputs, dy: Tensor, results: [[Float]]) {
    let (tokens, width) = (140, 136)
    var weights = Leaf.variable("weights", [tokens, 2])
    weights.isAlwaysFloat32 = true
    let leaves = [
      wide("x", [tokens, width]), weights,
      Leaf.parameter("gateUp", [7, 2 * inner, width], scale: 0.2).rounded(),
      Leaf.parameter("down", [7, width, inner], scale: 0.2).rounded(),
    ]
    let graph = Graph(leaves, compute: .bfloat16, float8: settings, on: device)
    let pairs: [[Int32]] = [[5, 3], [5, 0], [2, 5], [5, 3]]
    let routing = (0..<tokens).map { $0 == 7 ? [4, 5] : pairs[$0 % 4] }
    let indices = Tensor([tokens, 2], routing.flatMap { $0 }, on: device)
    let inputs = Experts.Inputs(
      x: graph.variable("x"), weights: graph.variable("weights"), plan: RoutingPlan(indices, experts: 7),
      gateUp: graph.parameter("gateUp"), down: graph.parameter("down"))
    let y = graph.tape.apply(
      QuantizedExperts.self, QuantizedExperts.Inputs(inputs, settings, monitor: monitor)
    ).output
    let dy = Tensor([tokens, width], wide("dy", [tokens, width]).values, on: device).converted(to: .bfloat16)
    let value = y.value.numbers
    graph.tape.backward(from: [(y, dy)])
    return (inputs, dy, [value] + leaves.map { graph.gradient($0)! })
  }

  /// What the operation quantizes, by the kernels that it uses.
  private struct Parts {
    let x, a, dy, dh, aAgain: Tensor
    let xRows, dyRows: QuantizedTensor

    init(_ e: Experts.Inputs, _ dy: Tensor, _ s: Float8Settings) {
      (x, self.dy) = (e.x.value, dy)
      (xRows, dyRows) = (quantizeRows(x, s.dispatched), quantizeRows(dy, s.dispatchedGradients))
      let h = groupedSwiGLU(
        xRows, gathering: e.plan.tokens, e.gateUp.codes, weight: e.rowWeights, offsets: e.plan.offsets,
        s.activations, keepsCodes: false
      ).h.numbers
      a = swiglu(h, weight: e.rowWeights)
      let kept = s.keepsSwiGLUInputAsCodes ? Operand.codes(quantizeRows(h, s.activations)) : .numbers(h)
      let back = groupedSwiGLUGradient(
        dyRows, gathering: e.plan.tokens, e.down.codes, h: kept, weight: e.rowWeights,
        offsets: e.plan.offsets)
      (dh, aAgain) = (back.dh, back.a)
    }

    /// Rows of codes, decoded, in the order of the experts.
    static func gathered(_ x: QuantizedTensor, _ plan: RoutingPlan) -> [Float] {
      gatherRows(x.dequantized(to: .float32), plan.tokens).numbers
    }
  }

  @Test(arguments: Device.supportedLevels(), [false, true])
  func everyOperandOfExpertsIsCounted(level: String, keepsInput: Bool) throws {
    var settings = Float8Settings()
    settings.keepsSwiGLUInputAsCodes = keepsInput
    let monitor = Float8Monitor()
    let run = experts(settings, inner: 130, monitor, on: try Device(threads: 3, level: level))
    let (s, parts) = (settings, Parts(run.inputs, run.dy, settings))
    let (width, inner) = (parts.x.columns, parts.a.columns)
    let (plan, offsets) = (run.inputs.plan, run.inputs.plan.offsets)
    let (x, dy) = (Parts.gathered(parts.xRows, plan), Parts.gathered(parts.dyRows, plan))
    expect(
      monitor,
      [
        operand("gateUp", .activation, .rows): .rows(parts.x.numbers, columns: width, s.dispatched),
        operand("gateUp", .activation, .columns): .columns(x, columns: width, offsets: offsets, s.dispatched),
        operand("gateUp", .gradient, .rows): .rows(parts.dh.numbers, columns: 2 * inner, s.gradients),
        operand("gateUp", .gradient, .columns): .columns(
          parts.dh.numbers, columns: 2 * inner, offsets: offsets, s.gradients),
        operand("down", .activation, .rows): .rows(parts.a.numbers, columns: inner, s.activations),
        operand("down", .activation, .columns): .columns(
          parts.aAgain.numbers, columns: inner, offsets: offsets, s.activations),
        operand("down", .gradient, .rows): .rows(run.dy.numbers, columns: width, s.dispatchedGradients),
        operand("down", .gradient, .columns): .columns(
          dy, columns: width, offsets: offsets, s.dispatchedGradients),
      ])
  }

  /// The busiest expert's product, of what backward has.
  @Test(arguments: ["gateUp", "down"], Float8Settings.GEMM.allCases)
  func shadowOfExperts(matrix: String, gemm: Float8Settings.GEMM) throws {
    let (device, s) = (try Device(threads: 2), Float8Settings())
    let monitor = Float8Monitor(sample: .init(matrix: matrix, gemm: gemm))
    let run = experts(s, inner: 20, monitor, on: device)
    #expect(run.results == experts(s, inner: 20, nil, on: device).results, "a check changes the result")

    let (plan, parts) = (run.inputs.plan, Parts(run.inputs, run.dy, s))
    let rows = plan.offsets[5]..<plan.offsets[6]
    #expect(rows.count == plan.counts.max())
    let isGateUp = matrix == "gateUp"
    let some = { (x: [Float], width: Int) in Array(x[rows.lowerBound * width..<rows.upperBound * width]) }
    let (width, inner) = (parts.x.columns, parts.a.columns)
    let (k, n) = isGateUp ? (width, 2 * inner) : (inner, width)
    let numbers = { (x: Tensor) in gatherRows(x, plan.tokens).numbers }
    let exact = (
      x: some(isGateUp ? numbers(parts.x) : parts.aAgain.numbers, k),
      dy: some(isGateUp ? parts.dh.numbers : numbers(parts.dy), n)
    )
    let tensor = { (x: [Float], width: Int) in Tensor([x.count / width, width], x, on: device) }
    let (xScales, dyScales) = isGateUp ? (s.dispatched, s.gradients) : (s.activations, s.dispatchedGradients)
    func codes(_ x: [Float], _ width: Int, _ scales: ScaleSettings, again: Bool) -> [Float] {
      let rows = quantizeRows(tensor(x, width), scales)
      guard gemm == .wgrad else { return rows.dequantized(to: .float32).numbers }
      let columns = again ? requantizeColumns(rows, scales) : quantizeColumns(tensor(x, width), scales)
      return columns.dequantized(to: .float32).numbers
    }
    let weight = isGateUp ? run.inputs.gateUp : run.inputs.down
    let w = { (all: [Float]) in Array(all[5 * n * k..<6 * n * k]) }
    let expected = relativeError(
      product(
        gemm, codes(exact.x, k, xScales, again: isGateUp), codes(exact.dy, n, dyScales, again: !isGateUp),
        w(weight.codes.dequantized(to: .float32).numbers), rows.count, n, k),
      product(gemm, exact.x, exact.dy, w(weight.master.numbers), rows.count, n, k))
    #expect(abs((monitor.shadowError ?? .nan) - expected) < 1e-5, "\(expected)")
    #expect(expected > 1e-3)
  }

  // MARK: falling back

  /// A matrix that has fallen back is read as one that was never made for FP8, and returns to the same codes.
  @Test func aMatrixFallsBackAndReturns() throws {
    let device = try Device(threads: 2)
    let leaf = Leaf.parameter("w", [150, k], scale: 0.1)
    let weight = Graph([leaf], compute: .bfloat16, float8: Float8Settings(), on: device).parameter("w")
    let plain = Graph([leaf], compute: .bfloat16, on: device).parameter("w")
    let values = weight.codes.dequantized(to: .float32).numbers
    weight.setFallenBack(true)
    #expect(weight.float8 == nil && weight.hasFallenBack)
    #expect(weight.value.numbers == plain.value.numbers)
    // As after an update by an optimizer that does not know of the copy.
    for parameter in [weight, plain] { parameter.master.scale(by: 0.5) }
    weight.numbersDidChange()
    plain.masterDidChange()
    #expect(weight.value.numbers == plain.value.numbers)
    weight.setFallenBack(false)
    #expect(weight.float8 == Float8Settings() && !weight.hasFallenBack)
    // Half the weights are the same codes with half the scales.
    #expect(weight.codes.dequantized(to: .float32).numbers == values.map { $0 / 2 })
    plain.setFallenBack(true)
    #expect(!plain.hasFallenBack, "nothing to leave")
  }
}
