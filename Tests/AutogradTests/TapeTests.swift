import Autograd
import Tensors
import Testing

/// How gradients meet on a tape.
struct TapeTests {
  private let device: Device
  init() throws { device = try Device(threads: 2) }

  private func leaf(_ name: String, _ shape: [Int]) -> (variable: Variable, values: [Float]) {
    let values = randomNumbers(shape.reduce(1, *), name)
    return (Variable(Tensor(shape, values, on: device)), values)
  }

  /// y = x + x: both gradients share dy's memory, which must not be overwritten.
  @Test func aVariableUsedTwiceByOneOperation() {
    let (tape, x) = (Tape(on: device), leaf("x", [3, 5]).variable)
    let dy = leaf("dy", [3, 5])
    let output = tape.apply(Addition.self, (x, x)).output
    tape.backward(from: [(output, dy.variable.value)])
    #expect(x.gradient!.numbers == dy.values.map { 2 * $0 })
    #expect(dy.variable.value.numbers == dy.values, "the caller's tensor was overwritten")
  }

  /// z = (x + x) + (x + x), the inner sum used twice.
  @Test func gradientsAddUpAlongEveryPath() {
    let (tape, x) = (Tape(on: device), leaf("x", [3, 5]).variable)
    let dy = leaf("dy", [3, 5])
    let twice = tape.apply(Addition.self, (x, x)).output
    let output = tape.apply(Addition.self, (twice, twice)).output
    tape.backward(from: [(output, dy.variable.value)])
    #expect(x.gradient!.numbers == dy.values.map { 4 * $0 })
  }

  /// y = x + x Wᵀ W': a residual. dx = dy + dy W' … against the formula.
  @Test func aResidualConnection() {
    let (tokens, width) = (4, 3)
    let leaves: [Leaf] = [.variable("x", [tokens, width]), .parameter("weight", [width, width])]
    let graph = Graph(leaves, on: device)
    let x = graph.variable("x")
    let product = graph.tape.apply(Linear.self, (x, graph.parameter("weight"))).output
    let output = graph.tape.apply(Addition.self, (x, product)).output
    let dy = leaf("dy", [tokens, width])
    graph.tape.backward(from: [(output, dy.variable.value)])
    let weight = leaves[1].values
    let expected = (0..<tokens * width).map { i in
      let (t, k) = (i / width, i % width)
      return (0..<width).reduce(Double(dy.values[i])) {
        $0 + Double(dy.values[t * width + $1]) * Double(weight[$1 * width + k])
      }
    }
    let tolerance = float32Tolerance(roundings: width + 1, expected)
    #expect(firstDifference(x.gradient!.numbers, expected, within: tolerance) == nil)
  }

  /// Two micro-batches add to the same parameter: the gradient is the sum.
  @Test func parameterGradientsAddUpOverTapes() throws {
    let leaves: [Leaf] = [.variable("x", [4, 3]), .parameter("weight", [2, 3])]
    let (graph, once) = (Graph(leaves, on: device), Graph(leaves, on: device))
    let dy = leaf("dy", [4, 2]).variable.value
    for tape in [graph.tape, Tape(on: device)] {
      let output = tape.apply(Linear.self, (graph.variable("x"), graph.parameter("weight"))).output
      tape.backward(from: [(output, dy)])
    }
    let output = once.tape.apply(Linear.self, (once.variable("x"), once.parameter("weight"))).output
    once.tape.backward(from: [(output, dy)])
    let expected = once.gradient(leaves[1])!.map { 2 * Double($0) }
    let tolerance = float32Tolerance(roundings: 8, expected)
    #expect(firstDifference(graph.gradient(leaves[1])!, expected, within: tolerance) == nil)
  }

  /// What nobody used gets no gradient, does no work, and hands nothing to its own inputs.
  @Test func unusedOutputsAreSkipped() {
    let leaves: [Leaf] = [
      .variable("x", [4, 3]), .parameter("used", [2, 3]), .parameter("unused", [2, 3]),
    ]
    let graph = Graph(leaves, on: device)
    let x = graph.variable("x")
    let output = graph.tape.apply(Linear.self, (x, graph.parameter("used"))).output
    let other = Variable(x.value)
    _ = graph.tape.apply(Linear.self, (other, graph.parameter("unused")))
    let dy = leaf("dy", [4, 2]).variable.value
    let work = graph.tape.inputGradients(from: [(output, dy)])
    #expect(work.count == 1)
    for item in work { item.run() }
    #expect(other.gradient == nil)
    #expect(graph.gradient(leaves[2])!.allSatisfy { $0 == 0 })
    #expect(graph.gradient(leaves[1])!.contains { $0 != 0 })
  }

  /// Several roots, as a stage of a pipeline has: a gradient from outside and a loss.
  @Test func severalRoots() {
    let (tape, x) = (Tape(on: device), leaf("x", [2, 3]).variable)
    let (a, b) = (leaf("a", [2, 3]), leaf("b", [2, 3]))
    let first = tape.apply(Addition.self, (x, x)).output
    let second = tape.apply(Addition.self, (first, x)).output
    tape.backward(from: [(first, a.variable.value), (second, b.variable.value)])
    #expect(x.gradient!.numbers == zip(a.values, b.values).map { $1 + ($0 + $1) + ($0 + $1) })
  }

  /// A residual stream whose norm nobody read: its gradient passes through, and the gain's is zero.
  @Test(arguments: [false, true])
  func onlyAFurtherOutputIsUsed(deferring: Bool) {
    let leaves: [Leaf] = [.variable("x", [4, 3]), .variable("branch", [4, 3]), .parameter("gain", [3])]
    let graph = Graph(leaves, on: device)
    let inputs = ResidualNorm.Inputs(
      x: graph.variable("x"), branches: [graph.variable("branch")], gain: graph.parameter("gain"),
      epsilon: 0.1)
    let (y, saved) = graph.tape.apply(ResidualNorm.self, inputs)
    y.forget()
    let output = graph.tape.apply(Addition.self, (saved.sum, saved.sum)).output
    let dy = leaf("dy", [4, 3])
    let work = graph.tape.backward(from: [(output, dy.variable.value)], deferring: deferring)
    for item in work { item.run() }
    let expected = dy.values.map { 2 * $0 }
    #expect(graph.gradient(leaves[0]) == expected && graph.gradient(leaves[1]) == expected)
    #expect(graph.gradient(leaves[2])!.allSatisfy { $0 == 0 })
  }

  /// The stream's gradient is overwritten where it lies only if nobody else reads it: not a root's.
  @Test func theGradientOfARootIsKept() {
    let leaves: [Leaf] = [.variable("x", [4, 3]), .parameter("gain", [3])]
    let graph = Graph(leaves, on: device)
    let inputs = ResidualNorm.Inputs(
      x: graph.variable("x"), branches: [], gain: graph.parameter("gain"), epsilon: 0.1)
    let (y, saved) = graph.tape.apply(ResidualNorm.self, inputs)
    let (dy, ds) = (leaf("dy", [4, 3]), leaf("ds", [4, 3]))
    graph.tape.backward(from: [(y, dy.variable.value), (saved.sum, ds.variable.value)])
    #expect(ds.variable.value.numbers == ds.values && dy.variable.value.numbers == dy.values)
    #expect(graph.gradient(leaves[0]) != ds.values)
  }

  /// Without recording nothing is kept: the memory of an intermediate result returns at once.
  @Test func nothingIsKeptWithoutRecording() {
    let tape = Tape(on: device, isRecording: false)
    let x = leaf("x", [64, 64]).variable
    let before = device.pool.liveBytes
    var output = tape.apply(Addition.self, (x, x)).output
    for _ in 0..<5 { output = tape.apply(Addition.self, (output, x)).output }
    #expect(device.pool.liveBytes == before + 64 * 64 * 4)
    #expect(output.value.floats[0] == 7 * x.value.floats[0])
  }

  /// The tape is empty after backward, and its activations are gone.
  @Test func backwardFreesTheActivations() {
    let (tape, x) = (Tape(on: device), leaf("x", [64, 64]).variable)
    let before = device.pool.liveBytes
    do {
      var output = x
      for _ in 0..<5 { output = tape.apply(Addition.self, (output, x)).output }
      #expect(device.pool.liveBytes == before + 5 * 64 * 64 * 4)
      tape.backward(from: [(output, x.value)])
    }
    #expect(device.pool.liveBytes == before + 64 * 64 * 4, "only the gradient of x is left")
  }
}
