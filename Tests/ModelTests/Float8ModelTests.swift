import Autograd
import Checkpoint
import Model
import OracleSupport
import Tensors
import Testing

/// The whole model with matrices in FP8, beside the same weights in bfloat16.
struct Float8ModelTests {
  /// The loss of a micro-batch, and all gradients of weights by name.
  private struct Result {
    var loss: Double
    var gradients: [String: [Float]]
  }

  private static func batch() throws -> MicroBatch {
    try tinyBatch(SafetensorsFile(oracleDirectory + "/tiny_a/oracle.safetensors"))
  }

  /// A model with random weights, all of whose widths are more than a tile and no whole number of them.
  private static func brokenTiles(_ policy: Float8Policy?) throws -> DeepSeek {
    var c = tinyConfiguration()
    (c.hiddenSize, c.intermediateSize, c.moeIntermediateSize) = (200, 300, 140)
    (c.qLoraRank, c.kvLoraRank, c.numNextnPredictLayers) = (144, 132, 1)
    (c.qkNopeHeadDim, c.vHeadDim, c.initializerRange) = (30, 35, 0.08)
    let model = DeepSeek(c, compute: .bfloat16, float8: policy, on: try Device(threads: 2))
    model.initialize(seed: 7)
    return model
  }

  /// - Parameter releasesNorms: as training does in FP8.
  private func run(
    _ policy: Float8Policy?, releasesNorms: Bool = true, defers: Bool = false, hasBrokenTiles: Bool = false
  ) throws -> Result {
    let model =
      try hasBrokenTiles
      ? Self.brokenTiles(policy)
      : tinyModel(multiTokenPrediction: true, compute: .bfloat16, float8: policy)
    let (batch, tape) = (try Self.batch(), Tape(on: model.device))
    let context = ForwardContext(
      tape: tape, sequences: batch.sequences, length: batch.length, table: model.rotaryTable(batch.length),
      recomputation: releasesNorms ? .norms : [])
    let objective = Objective(validLabels: batch.validLabels(depths: 1), multiTokenWeight: 0.3)
    let (roots, sums, _) = model.losses(batch, objective, context)
    let gradient = Tensor([1], [1 as Float], on: model.device)
    if defers {
      for work in tape.inputGradients(from: roots.map { ($0, gradient) }).reversed() { work.run() }
    } else {
      tape.backward(from: roots.map { ($0, gradient) })
    }
    let gradients = model.parameters.flatMap { parameter in
      parameter.parts.map { ($0.name, Array(parameter.gradient(of: $0).floats)) }
    }
    return Result(
      loss: sums.tokens[0] / Double(objective.validLabels[0]),
      gradients: Dictionary(uniqueKeysWithValues: gradients))
  }

  private func dissimilarity(_ x: Result, _ y: Result) -> Double {
    let names = x.gradients.keys.sorted()
    return OracleSupport.dissimilarity(
      names.flatMap { x.gradients[$0]! }, names.flatMap { y.gradients[$0] ?? [] })
  }

  private static func policy(_ change: (inout Float8Policy) -> Void) -> Float8Policy {
    var policy = Float8Policy()
    change(&policy)
    return policy
  }

  /// Each group, each product, each way of keeping activations, alone and together.
  static let policies: [(name: String, policy: Float8Policy)] =
    [("all defaults", Float8Policy())]
    + Float8Policy.MatrixGroup.allCases.map { group in (group.rawValue, policy { $0.matrices = [group] }) }
    + Float8Settings.GEMM.allCases.map { product in
      (product.rawValue, policy { $0.settings.gemms = [product] })
    }
    + [
      ("SwiGLU's input as numbers", policy { $0.settings.keepsSwiGLUInputAsCodes = false }),
      ("attention's output as numbers", policy { $0.settings.packsAttentionOutput = false }),
      ("two layers", policy { ($0.firstLayers, $0.lastLayers) = (1, 1) }),
      (
        "powers of two",
        policy {
          ($0.settings.weights.powerOfTwo, $0.settings.activations.powerOfTwo) = (true, true)
          $0.settings.gradients.powerOfTwo = true
        }
      ),
    ]

  /// Near to bfloat16, and not the same: an option that had no effect would be.
  @Test(arguments: policies.map(\.name))
  func isNearBfloat16(_ name: String) throws {
    let policy = try #require(Self.policies.first { $0.name == name }?.policy)
    let (exact, found) = (try run(nil), try run(policy))
    // A token whose experts change is another function: a few do.
    #expect(abs(found.loss - exact.loss) < 0.01 * exact.loss, "\(found.loss), not \(exact.loss)")
    let difference = dissimilarity(found, exact)
    #expect(difference < 0.05 && difference > 1e-7, "\(difference)")
    let whole = try run(Self.policies[0].policy)
    #expect(name == "all defaults" || dissimilarity(found, whole) > 1e-9, "the same as all defaults")
  }

  /// Where tiles end within rows, matrices and halves of SwiGLU's input: a loss near to that of bfloat16, and the same
  /// bits when work is put off. Gradients are not near: routers of random weights have close scores, and a token whose
  /// experts change has others.
  @Test(arguments: ["all defaults", "fprop", "wgrad", "powers of two"])
  func brokenTilesAreNearBfloat16(_ name: String) throws {
    let policy = try #require(Self.policies.first { $0.name == name }?.policy)
    let (exact, found) = (try run(nil, hasBrokenTiles: true), try run(policy, hasBrokenTiles: true))
    #expect(abs(found.loss - exact.loss) < 0.01 * exact.loss, "\(found.loss), not \(exact.loss)")
    #expect(dissimilarity(found, exact) > 1e-7, "the same as bfloat16")
    let late = try run(policy, releasesNorms: false, defers: true, hasBrokenTiles: true)
    #expect(late.loss == found.loss && late.gradients == found.gradients)
  }

  /// Layers that are kept are bfloat16's to the last bit; the module of multi-token prediction is not one of them.
  @Test func keptLayersAreNotQuantized() throws {
    let kept = Self.policy {
      $0.firstLayers = 4
      $0.matrices.insert(.mtpProjection)
    }
    let (exact, found) = (try run(nil), try run(kept))
    #expect(found.loss == exact.loss)
    let name = "model.layers.4.eh_proj.weight"
    #expect(found.gradients[name] != exact.gradients[name])
  }

  /// Weight gradients that are put off read what forward and backward have kept for them.
  @Test func deferredWorkChangesNoBit() throws {
    let (eager, late) = (try run(Float8Policy()), try run(Float8Policy(), defers: true))
    #expect(late.loss == eager.loss && late.gradients == eager.gradients)
  }

  /// The floor of activations holds for E5M6 too.
  @Test func theFloorReachesEveryQuantizer() throws {
    let only = { (floor: Float) in
      Self.policy {
        $0.matrices = [.attention]
        $0.settings.gemms = [.dgrad]
        $0.settings.activations.amaxFloor = floor
      }
    }
    let (low, high) = (try run(only(0)), try run(only(1e30)))
    // Attention's output is flushed in E5M6 before its backward pass reads it.
    let name = "model.layers.0.self_attn.q_b_proj.weight"
    #expect(low.gradients[name] != high.gradients[name])
  }

  /// What training drops is recomputed to the same bits.
  @Test func releasedNormsChangeNoBit() throws {
    let (kept, released) = (try run(Float8Policy(), releasesNorms: false), try run(Float8Policy()))
    #expect(kept.loss == released.loss && kept.gradients == released.gradients)
  }

  /// Codes follow the master weights.
  @Test func codesFollowTheWeights() throws {
    let model = try tinyModel(compute: .bfloat16, float8: Float8Policy())
    let weight = try #require(model.parameters.first { $0.name.hasSuffix("1.mlp.experts.gate_up_proj") })
    let before = weight.codes.dequantized(to: .float32).floats[0]
    weight.master.floats.update(repeating: 0.25)
    #expect(weight.codes.dequantized(to: .float32).floats[0] == before)
    model.weightsDidChange()
    #expect(weight.codes.dequantized(to: .float32).floats.allSatisfy { abs($0 - 0.25) < 1e-6 })
  }
}
