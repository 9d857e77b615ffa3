import Autograd
import OracleSupport
import Tensors
import Testing

/// Operations on E4M3 codes: rounding has no slope, so they are compared with Double products of what the quantizers
/// gave (these have tests of their own), and with the operations on numbers.
struct QuantizedOperationTests {
  static let operations = [QuantizedLinear.name, QuantizedExperts.name]

  private static let products: [Set<Float8Settings.GEMM>] = [
    [.fprop, .dgrad, .wgrad], [.fprop], [.dgrad], [.wgrad], [.fprop, .dgrad], [.fprop, .wgrad],
    [.dgrad, .wgrad],
  ]

  private static func settings(
    _ products: Set<Float8Settings.GEMM> = products[0], powerOfTwo: Bool = false
  ) -> Float8Settings {
    var settings = Float8Settings()
    settings.gemms = products
    (settings.weights.powerOfTwo, settings.activations.powerOfTwo) = (powerOfTwo, powerOfTwo)
    settings.gradients.powerOfTwo = powerOfTwo
    return settings
  }

  /// `Σ_p a(i, p) b(p, j)`
  private func product(_ m: Int, _ n: Int, _ k: Int, _ a: (Int, Int) -> Float, _ b: (Int, Int) -> Float)
    -> [Double]
  {
    (0..<m * n).map { i in (0..<k).reduce(0.0) { $0 + Double(a(i / n, $1)) * Double(b($1, i % n)) } }
  }

  @Test(arguments: Device.supportedLevels(), [false, true])
  func linear(level: String, keepsCodes: Bool) throws {
    let (t, n, k) = (135, 37, 150)
    let leaves = [Leaf.variable("x", [t, k]), .parameter("w", [n, k], scale: 0.1)].map { $0.rounded() }
    for powerOfTwo in [false, true] {
      let device = try Device(threads: 2, level: level)
      let settings = Self.settings(powerOfTwo: powerOfTwo)
      let graph = Graph(leaves, compute: .bfloat16, float8: settings, on: device)
      let (x, w) = (graph.variable("x"), graph.parameter("w"))
      let inputs = QuantizedLinear.Inputs(
        x: x, weight: w, settings: settings, scales: settings.activations, keepsCodes: keepsCodes)
      let y = graph.tape.apply(QuantizedLinear.self, inputs).output
      let upstream = Leaf.variable("upstream", [t, n]).rounded()
      let dy = Tensor([t, n], upstream.values, on: device).converted(to: .bfloat16)
      let value = y.value
      graph.tape.backward(from: [(y, dy)])

      let weights = w.codes.dequantized(to: .float32).numbers
      let rows = quantizeRows(x.value, settings.activations)
      let xRows = rows.dequantized(to: .float32).numbers
      let columns =
        keepsCodes
        ? requantizeColumns(rows, settings.activations) : quantizeColumns(x.value, settings.activations)
      let xColumns = columns.dequantized(to: .float32).numbers
      let dyRows = quantizeRows(dy, settings.gradients).dequantized(to: .float32).numbers
      let dyColumns = quantizeColumns(dy, settings.gradients).dequantized(to: .float32).numbers
      let expected = product(t, n, k, { xRows[$0 * k + $1] }, { weights[$1 * k + $0] })
      let dx = product(t, k, n, { dyRows[$0 * n + $1] }, { weights[$0 * k + $1] })
      let dw = product(n, k, t, { dyColumns[$1 * n + $0] }, { xColumns[$0 * k + $1] })
      // Stored in bfloat16: half a unit of the largest value.
      let tolerance = { (values: [Double]) in 0x1p-8 * (values.map(abs).max() ?? 0) }
      #expect(firstDifference(value.numbers, expected, within: tolerance(expected)) == nil, "y")
      #expect(firstDifference(graph.gradient(leaves[0])!, dx, within: tolerance(dx)) == nil, "dx")
      let float32 = 1e-6 * (dw.map(abs).max() ?? 0)
      #expect(firstDifference(graph.gradient(leaves[1])!, dw, within: float32) == nil, "dW")
    }
  }

  /// Output and gradients, by the name of the leaf.
  private func experts(
    _ leaves: [Leaf], _ settings: Float8Settings?, on device: Device
  ) -> [(name: String, values: [Float])] {
    let graph = Graph(leaves, compute: .bfloat16, float8: settings, on: device)
    // Experts 1 and 6 receive nothing; expert 4 receives one token.
    let routing: [[Int32]] = (0..<140).map {
      $0 == 7 ? [4, 5] : [[0, 3], [5, 0], [2, 3], [5, 3]][$0 % 4]
    }
    let indices = Tensor([routing.count, 2], routing.flatMap { $0 }, on: device)
    let inputs = Experts.Inputs(
      x: graph.variable("x"), weights: graph.variable("weights"), plan: RoutingPlan(indices, experts: 7),
      gateUp: graph.parameter("gateUp"), down: graph.parameter("down"))
    let y =
      if let settings {
        graph.tape.apply(QuantizedExperts.self, QuantizedExperts.Inputs(inputs, settings)).output
      } else {
        graph.tape.apply(Experts.self, inputs).output
      }
    let value = y.value.numbers
    let upstream = Leaf.variable("upstream", y.value.shape)
    let dy = Tensor(y.value.shape, upstream.values, on: device).converted(to: .bfloat16)
    graph.tape.backward(from: [(y, dy)])
    return [("y", value)] + leaves.map { ($0.name, graph.gradient($0)!) }
  }

  private var expertLeaves: [Leaf] {
    var weights = Leaf.variable("weights", [140, 2])
    weights.isAlwaysFloat32 = true
    let (width, inner) = (136, 130)
    return [
      .variable("x", [140, width]), weights, .parameter("gateUp", [7, 2 * inner, width], scale: 0.2),
      .parameter("down", [7, width, inner], scale: 0.2),
    ].map { $0.rounded() }
  }

  /// Each product in FP8 or not, what is kept as codes or not: near to the operation on numbers, but not the same.
  @Test(arguments: products)
  func expertsAreNearThoseOfNumbers(products: Set<Float8Settings.GEMM>) throws {
    let (device, leaves) = (try Device(threads: 2), expertLeaves)
    let exact = experts(leaves, nil, on: device)
    for keeps in [false, true] {
      var settings = Self.settings(products)
      settings.keepsSwiGLUInputAsCodes = keeps
      let found = experts(leaves, settings, on: device)
      for (found, exact) in zip(found, exact) {
        let difference = dissimilarity(found.values, exact.values)
        #expect(difference < 5e-3, "\(found.name), h as codes: \(keeps)")
        if found.name == "y" { #expect((difference == 0) == !products.contains(.fprop)) }
      }
    }
  }

  /// Two routes of the scales, float32 and bfloat16 panels, one answer within the rounding of its storage.
  @Test func levelsAgree() throws {
    let leaves = expertLeaves
    let all = try Device.supportedLevels().map { level in
      experts(leaves, Self.settings(), on: try Device(threads: 2, level: level))
    }
    for other in all.dropFirst() {
      for (x, y) in zip(all[0], other) { #expect(dissimilarity(x.values, y.values) < 1e-4, "\(x.name)") }
    }
  }

  /// What is kept in E5M6 or as codes is what backward reads.
  @Test func swigluOfCodes() throws {
    let device = try Device(threads: 2)
    let leaf = Leaf.variable("h", [5, 2 * 150]).rounded()
    let graph = Graph([leaf], compute: .bfloat16, on: device)
    let h = graph.variable("h")
    let scales = ScaleSettings()
    let expected = quantizeRows(h.value, scales).dequantized(to: .bfloat16)
    let a = graph.tape.apply(SwiGLU.self, SwiGLU.Inputs(h, codes: scales)).output
    #expect(a.value.numbers == swiglu(h.value).numbers, "forward reads the numbers")
    a.forget()
    #expect(a.value.numbers == swiglu(expected).numbers, "computed again from codes")
    let da = Tensor([5, 150], Leaf.variable("da", [5, 150]).values, on: device).converted(to: .bfloat16)
    graph.tape.backward(from: [(a, da)])
    #expect(graph.gradient(leaf) == swigluGradient(da, expected).dh.numbers)
  }
  /// Codes alone are what their readers read, and the value is there for who asks.
  @Test func outputsOfCodesAlone() throws {
    let device = try Device(threads: 2)
    let leaves = [
      Leaf.variable("x", [40, 150]), .variable("a", [40, 150]), .parameter("gain", [150]),
      .variable("h", [40, 2 * 150]),
    ].map { $0.rounded() }
    let scales = ScaleSettings()
    let coding = RowCoding(scales, keepsNumbers: false)
    func outputs(_ coding: RowCoding?, _ tape: Tape, _ graph: Graph) -> [Variable] {
      let (x, gain) = (graph.variable("x"), graph.parameter("gain"))
      return [
        tape.apply(RMSNorm.self, .init(x: x, gain: gain, epsilon: 0.1, coding: coding)).output,
        tape.apply(
          ResidualNorm.self, .init(x: x, branches: [], gain: gain, epsilon: 0.1, coding: coding)
        ).output,
        tape.apply(
          ResidualNorm.self,
          .init(x: x, branches: [graph.variable("a")], gain: gain, epsilon: 0.1, coding: coding)
        ).output,
        tape.apply(SwiGLU.self, SwiGLU.Inputs(graph.variable("h"), coding: coding)).output,
      ]
    }
    for isRecording in [true, false] {
      let graph = Graph(leaves, compute: .bfloat16, on: device)
      let tape = Tape(on: device, isRecording: isRecording)
      for (numbers, codes) in zip(outputs(nil, tape, graph), outputs(coding, tape, graph)) {
        let before = device.pool.liveBytes
        let found = codes.codes(scales)
        #expect(device.pool.liveBytes == before, "codes were there")
        #expect(
          found.dequantized(to: .float32).numbers == numbers.codes(scales).dequantized(to: .float32).numbers)
        #expect(codes.value.numbers == numbers.value.numbers)
        #expect(device.pool.liveBytes > before, "numbers were not there before")
      }
    }
  }
}
