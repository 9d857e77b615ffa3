import Autograd
import Tensors
import Testing

/// Experts in FP8 whose tokens come over a route: codes are read as they arrive, and counted where they left.
struct ExchangedCodesTests {
  private let tokens = 60
  private let width = 136
  private let inner = 130

  private struct Run {
    let monitor = Float8Monitor()
    var results: [[Float]] = []
    /// Of the pool, before backward.
    var liveBytes = 0
  }

  private var leaves: [Leaf] {
    var weights = Leaf.variable("weights", [tokens, 2])
    weights.isAlwaysFloat32 = true
    return [
      .variable("x", [tokens, width]), weights, .parameter("gateUp", [7, 2 * inner, width], scale: 0.2),
      .parameter("down", [7, width, inner], scale: 0.2),
    ].map { $0.rounded() }
  }

  /// - Parameter decodes: whether the route hands numbers over.
  private func run(_ settings: Float8Settings, decodes: Bool, forgets: Bool = true) throws -> Run {
    let device = try Device(threads: 2)
    var run = Run()
    let graph = Graph(leaves, compute: .bfloat16, float8: settings, on: device)
    let (tape, monitor) = (graph.tape, run.monitor)
    let pairs: [[Int32]] = [[5, 3], [5, 0], [2, 4]]
    let indices = Tensor([tokens, 2], (0..<tokens).flatMap { pairs[$0 % 3] }, on: device)
    let route = HereRoute(indices, experts: 7, boundary: 3, decodes: decodes)
    let (gateUp, down) = (graph.parameter("gateUp"), graph.parameter("down"))
    let codes = (
      x: settings.gemms.contains(.fprop) ? settings.dispatched : nil,
      dy: settings.gemms.contains(.dgrad) ? settings.dispatchedGradients : nil
    )
    let start = DispatchStart.Inputs(
      x: graph.variable("x"), weights: graph.variable("weights"), route: route, codes: codes.x,
      statistics: codes.x.map { _ in monitor.statistics(gateUp, .activation, .rows) })
    let leaving = tape.apply(DispatchStart.self, start).output
    let (x, arrived) = tape.apply(
      DispatchFinish.self, DispatchFinish.Inputs(underWay: leaving, route: route, codes: codes.x))
    let experts = Experts.Inputs(x: x, weights: arrived.weights, plan: route.plan, gateUp: gateUp, down: down)
    let inputs = QuantizedExperts.Inputs(
      experts, settings, monitor: monitor, isCountedElsewhere: (codes.x != nil, codes.dy != nil))
    let made = tape.apply(QuantizedExperts.self, inputs).output
    let returning = tape.apply(CombineStart.self, CombineStart.Inputs(y: made, route: route)).output
    made.forget()
    let finish = CombineFinish.Inputs(
      underWay: returning, route: route, codes: codes.dy,
      statistics: codes.dy.map { _ in monitor.statistics(down, .gradient, .rows) })
    let y = tape.apply(CombineFinish.self, finish).output
    run.results.append(y.value.numbers)
    let dy = Tensor([tokens, width], Leaf.variable("dy", [tokens, width]).values, on: device)
      .converted(to: .bfloat16)
    if forgets { y.forget() }
    run.liveBytes = device.pool.liveBytes
    tape.backward(from: [(y, dy)])
    run.results += leaves.map { graph.gradient($0)! }
    return run
  }

  /// Each product in FP8 or not: the same bits as if rows were decoded when they arrive, and quantized again.
  @Test(
    arguments: [[.fprop, .dgrad, .wgrad], [.fprop], [.fprop, .dgrad], [.dgrad, .wgrad], [.fprop, .wgrad]]
      as [Set<Float8Settings.GEMM>])
  func codesAreReadAsTheyArrive(products: Set<Float8Settings.GEMM>) throws {
    var settings = Float8Settings()
    settings.gemms = products
    let (found, expected) = (try run(settings, decodes: false), try run(settings, decodes: true))
    for (found, expected) in zip(found.results, expected.results) {
      #expect(found == expected && !found.isEmpty && found.allSatisfy(\.isFinite))
    }
  }

  /// Rows that arrived are not kept beside their codes, nor is y once it was read.
  @Test func nothingIsKeptTwice() throws {
    let found = try run(Float8Settings(), decodes: false)
    let (decoded, kept) = (
      try run(Float8Settings(), decodes: true), try run(Float8Settings(), decodes: false, forgets: false)
    )
    // A third of the tokens has experts on both sides of the boundary twice.
    let rows = tokens / 3 * 5
    #expect(decoded.liveBytes - found.liveBytes >= rows * width * 2)
    #expect(kept.liveBytes - found.liveBytes >= tokens * width * 2)
  }

  /// What a rank quantizes is counted before it travels: its own tokens, with what is flushed and their true amax.
  @Test func rowsAreCountedWhereTheyLeave() throws {
    let settings = Float8Settings()
    let monitor = try run(settings, decodes: false).monitor
    let operand = Float8Monitor.Operand(matrix: "gateUp", role: .activation, tiling: .rows)
    #expect(
      monitor.statistics[operand].map { CountedTiles($0) }
        == .rows(leaves[0].values, columns: width, settings.dispatched))
    let dy = Leaf.variable("dy", [tokens, width]).rounded().values
    let gradient = Float8Monitor.Operand(matrix: "down", role: .gradient, tiling: .rows)
    #expect(
      monitor.statistics[gradient].map { CountedTiles($0) }
        == .rows(dy, columns: width, settings.dispatchedGradients))
  }
}
