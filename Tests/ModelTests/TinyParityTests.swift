import Autograd
import Checkpoint
import Model
import OracleSupport
import Tensors
import Testing

/// Against transformers' DeepseekV3ForCausalLM in float32 (tiny_a, tiny_a_mtp): 1e-5 relative per tensor, the sum of
/// both programs' rounding (their own float32 and float64 differ by up to 2e-6).
struct TinyParityTests {
  private let limit = 1e-5

  @Test(arguments: [Recomputation(), [.norms, .upProjections, .swiglu]])
  func mainModel(recomputation: Recomputation) throws {
    let oracle = try SafetensorsFile(oracleDirectory + "/tiny_a/oracle.safetensors")
    let model = try tinyModel()
    let batch = try tinyBatch(oracle)
    var worst = (name: "", error: 0.0)
    func compare(_ name: String, _ found: some Collection<Float>) throws {
      let error = relativeError(found, try oracle.floats(name))
      if error >= worst.error { worst = (name, error) }
      #expect(error <= limit, "\(name): relative error \(error)")
    }
    let tape = Tape(on: model.device)
    var observed: [(String, [Float])] = []
    let context = ForwardContext(
      tape: tape, sequences: batch.sequences, length: batch.length, table: model.rotaryTable(batch.length),
      recomputation: recomputation, observe: { observed.append(("hidden." + $0, Array($1.floats))) })
    let objective = Objective(validLabels: batch.validLabels(depths: 0), multiTokenWeight: 0)
    let (roots, sums, hidden) = model.losses(batch, objective, context)
    try compare("loss", [Float(sums.tokens[0] / Double(objective.validLabels[0]))])
    try compare("logits", model.logits(hidden[0]).floats)
    #expect(observed.count == 14)
    for (name, values) in observed { try compare(name, values) }
    for routing in context.routing { try compareRouting(routing, oracle) }
    #expect(context.routing.map(\.layer) == [1, 2, 3])
    tape.backward(from: roots.map { ($0, Tensor([1], [1 as Float], on: model.device)) })
    for parameter in model.parameters {
      for part in parameter.parts { try compare("grad." + part.name, parameter.gradient(of: part).floats) }
    }
    print("tiny_a: worst is \(worst.name) with \(worst.error)")
  }

  private func compareRouting(_ routing: LayerRouting, _ oracle: SafetensorsFile) throws {
    let prefix = "routing.\(routing.layer)."
    #expect(routing.counts == (try oracle.integers(prefix + "counts")))
    let (indices, weights) = routing.selection.sortedByExpert()
    #expect(indices.map(Int.init) == (try oracle.integers(prefix + "indices")))
    #expect(relativeError(weights, try oracle.floats(prefix + "weights")) <= limit)
  }

  @Test func multiTokenPrediction() throws {
    let oracle = try SafetensorsFile(oracleDirectory + "/tiny_a_mtp/oracle.safetensors")
    let model = try tinyModel(multiTokenPrediction: true)
    let batch = try tinyBatch(oracle)
    let tape = Tape(on: model.device)
    let context = ForwardContext(
      tape: tape, sequences: batch.sequences, length: batch.length, table: model.rotaryTable(batch.length))
    let objective = Objective(validLabels: batch.validLabels(depths: 1), multiTokenWeight: 0.3)
    let (roots, sums, _) = model.losses(batch, objective, context)
    let losses = zip(sums.tokens, objective.validLabels).map { Float($0 / Double($1)) }
    #expect(relativeError([losses[0]], try oracle.floats("loss_main")) <= limit)
    #expect(relativeError([losses[1]], try oracle.floats("loss_mtp")) <= limit)
    #expect(relativeError([losses[0] + 0.3 * losses[1]], try oracle.floats("loss_total")) <= limit)
    tape.backward(from: roots.map { ($0, Tensor([1], [1 as Float], on: model.device)) })
    for parameter in model.parameters {
      for part in parameter.parts {
        let error = relativeError(parameter.gradient(of: part).floats, try oracle.floats("grad." + part.name))
        #expect(error <= limit, "grad.\(part.name): relative error \(error)")
      }
    }
  }
}
