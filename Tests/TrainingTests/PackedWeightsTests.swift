import Autograd
import Model
import Tensors
import Testing

@testable import Training

extension WholeRuns {
  /// `training.packed_weights` changes no bit of a run: two micro-batches a step, experts, MTP, the shared head.
  @Suite struct PackedWeightsTests {
    private let runs: SmallRuns

    init() throws { runs = try SmallRuns() }

    @Test(arguments: ["float32", "bfloat16"])
    func noBitChanges(mode: String) throws {
      let settings = ["precision.mode=\(mode)", "training.recompute=[norms, up_projections, swiglu]"]
      let without = try runs.trainer("none", settings)
      #expect(without.model.parameters.allSatisfy { $0.packed == nil })
      try runs.run(without)
      for kept in ["forward", "both"] {
        let trainer = try runs.trainer(kept, settings + ["training.packed_weights=\(kept)"])
        try runs.run(trainer)
        try runs.expectSame(kept, "none", step: 12)
        // All matrices but the embedding and the two routers; gains and they are no matter for panels.
        let packed = trainer.model.parameters.filter { ($0.packed?.byteCount ?? 0) > 0 }
        let products = trainer.model.parameters.filter {
          $0.master.shape.count > 1 && $0.name != "model.embed_tokens" && !$0.name.hasSuffix(".gate")
        }
        #expect(packed.map(\.name) == products.map(\.name) && !packed.isEmpty)
      }
    }

    /// Panels of the weights before a roll-back, or before a checkpoint was loaded, are not read after it.
    @Test func restoredWeightsAreRead() throws {
      let token = try runs.token(ofStep: 6)
      for kept in ["none", "both"] {
        let trainer = try runs.trainer(
          kept, ["training.packed_weights=\(kept)", "training.non_finite=roll_back"])
        try runs.poison(trainer, [token])
        try runs.run(trainer)
      }
      try runs.expectSame("both", "none", step: 12)
    }
  }
}
