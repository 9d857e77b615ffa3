import Autograd
import Checkpoint
import Model
import OracleSupport
import Tensors
import Testing

/// Layers in FP8 that are watched, and that fall back to bfloat16.
struct Float8LayerTests {
  private struct Result: Equatable {
    var loss: Double
    var gradients: [[Float]]
  }

  private static func policy(_ change: (inout Float8Policy) -> Void = { _ in }) -> Float8Policy {
    var policy = Float8Policy()
    change(&policy)
    return policy
  }

  private func model(_ policy: Float8Policy?) throws -> DeepSeek {
    try tinyModel(multiTokenPrediction: true, compute: .bfloat16, float8: policy)
  }

  private func batch() throws -> MicroBatch {
    try tinyBatch(SafetensorsFile(oracleDirectory + "/tiny_a/oracle.safetensors"))
  }

  /// - Parameter micro: how often the same micro-batch is gone through.
  private func run(
    _ model: DeepSeek, micro: Int = 1, recomputation: Recomputation = .norms, _ monitor: Float8Monitor? = nil
  ) throws -> Result {
    let batch = try batch()
    let objective = Objective(validLabels: batch.validLabels(depths: 1), multiTokenWeight: 0.3)
    var loss = 0.0
    for parameter in model.parameters { parameter.gradientSums.clear() }
    if let monitor { model.countWeights(monitor) }
    for _ in 0..<micro {
      let tape = Tape(on: model.device)
      let context = ForwardContext(
        tape: tape, sequences: batch.sequences, length: batch.length,
        table: model.rotaryTable(batch.length), recomputation: recomputation, monitor: monitor)
      let (roots, sums, _) = model.losses(batch, objective, context)
      tape.backward(from: roots.map { ($0, Tensor([1], [1 as Float], on: model.device)) })
      loss += sums.tokens[0]
    }
    return Result(loss: loss, gradients: model.parameters.map { Array($0.gradient.floats) })
  }

  /// Elements of the operands of a matrix for T tokens, R of them with an expert's weight.
  private func elements(
    _ matrix: Parameter, tokens: Int, _ c: ModelConfiguration
  ) -> [String: Int] {
    let shape = matrix.master.shape
    let rows = tokens * c.numExpertsPerTok
    guard shape.count == 3 else {
      let (x, dy) = (tokens * shape[1], tokens * shape[0])
      return ["activation rows": x, "activation columns": x, "gradient rows": dy, "gradient columns": dy]
    }
    // What tokens bring is quantized once for all their experts.
    let isDown = matrix.name.hasSuffix("down_proj")
    return [
      "activation rows": (isDown ? rows : tokens) * shape[2], "activation columns": rows * shape[2],
      "gradient rows": (isDown ? tokens : rows) * shape[1], "gradient columns": rows * shape[1],
    ]
  }

  /// Everything is counted once a micro-batch, weights once a step, whatever is computed again.
  @Test(arguments: [Recomputation.norms, [.norms, .upProjections, .swiglu]])
  func everyOperandOfEveryMatrixIsCounted(recomputation: Recomputation) throws {
    let model = try model(Self.policy { $0.matrices.insert(.mtpProjection) })
    let (monitor, tokens) = (Float8Monitor(), try batch().inputs.count)
    _ = try run(model, micro: 2, recomputation: recomputation, monitor)
    var expected: [Float8Monitor.Operand: Int] = [:]
    for matrix in model.float8Layers.flatMap(\.matrices) {
      let operand = { (role: Float8Monitor.Role, tiling: QuantizedTensor.Tiling) in
        Float8Monitor.Operand(matrix: matrix.name, role: role, tiling: tiling)
      }
      let counts = elements(matrix, tokens: tokens, model.configuration)
      for role in [Float8Monitor.Role.activation, .gradient] {
        for tiling in [QuantizedTensor.Tiling.rows, .columns] {
          expected[operand(role, tiling)] = 2 * counts["\(role) \(tiling)"]!
        }
      }
      expected[operand(.weight, .blocks)] = matrix.master.count
    }
    #expect(monitor.statistics.mapValues(\.elements) == expected)
    #expect(model.float8Layers.map(\.number) == [0, 1, 2, 3, 4])
    // 5 of attention, and 2 of a dense layer or 4 of one with experts; eh_proj.
    #expect(expected.count == 5 * (5 * 5 + 2 + 4 * 4 + 1))
    for counters in monitor.statistics.values {
      #expect(counters.saturated == 0 && counters.nonFinite == 0 && counters.amax > 0)
      #expect(counters.leastScale <= counters.greatestScale && counters.leastScale > 0)
    }
  }

  /// Whichever product is checked.
  @Test func watchingChangesNoBit() throws {
    let model = try model(Float8Policy())
    let plain = try run(model)
    for turn in stride(from: 0, to: 90, by: 7) {
      let monitor = Float8Monitor(sample: model.shadowSample(turn: turn))
      #expect(try run(model, monitor) == plain, "\(turn)")
      let error = try #require(monitor.shadowError)
      // Two operands with 3 bits each, rounded: some percent.
      #expect(error > 0.005 && error < 0.15, "\(turn): \(error)")
    }
  }

  @Test func layersThatFallBackAreThoseThatWereNeverInFP8() throws {
    let model = try model(Float8Policy())
    let whole = try run(model)
    for (layers, policy) in [
      ([0], Self.policy { $0.firstLayers = 1 }),
      ([2, 3], Self.policy { $0.lastLayers = 2 }),
      ([0, 1, 2, 3, 4], nil),
    ] {
      model.setFallenBack(layers: Set(layers))
      let monitor = Float8Monitor()
      #expect(try run(model, monitor) == run(self.model(policy)), "\(layers)")
      let isLeft = monitor.statistics.keys.contains { operand in
        layers.contains { operand.matrix.hasPrefix("model.layers.\($0).") }
      }
      #expect(!isLeft && monitor.statistics.isEmpty == (policy == nil))
    }
    model.setFallenBack(layers: [])
    #expect(try run(model) == whole)
  }

  /// Where products read numbers and codes of a weight.
  @Test func aLayerWithSomeProductsInFP8FallsBack() throws {
    for gemm in Float8Settings.GEMM.allCases {
      let policy = Self.policy { $0.settings.gemms = [gemm] }
      let model = try model(policy)
      let whole = try run(model)
      model.setFallenBack(layers: [0, 1, 2, 3, 4])
      #expect(try run(model) == run(self.model(nil)))
      model.setFallenBack(layers: [])
      #expect(try run(model) == whole && whole != run(self.model(nil)))
    }
  }

  @Test func everyProductHasItsTurn() throws {
    let model = try model(Float8Policy())
    let all = model.float8Layers.flatMap(\.matrices).flatMap { matrix in
      Float8Settings.GEMM.allCases.map { Float8Monitor.Sample(matrix: matrix.name, gemm: $0) }
    }
    let turns = (0..<2 * all.count).map { model.shadowSample(turn: $0) }
    #expect(turns == all + all)
    model.setFallenBack(layers: [1, 2, 3, 4])
    let left = (0..<all.count).map { model.shadowSample(turn: $0) }
    let firstLayer = 3 * model.float8Layers[0].matrices.count
    #expect(Array(left.prefix(firstLayer)) == Array(all.prefix(firstLayer)))
    #expect(left.dropFirst(firstLayer).allSatisfy { $0 == all[0] })
    model.setFallenBack(layers: [0, 1, 2, 3, 4])
    #expect(model.shadowSample(turn: 5) == nil)
    let some = try self.model(Self.policy { $0.settings.gemms = [.wgrad] })
    #expect((0..<10).allSatisfy { some.shadowSample(turn: $0)?.gemm == .wgrad })
  }
}
