import Autograd
import Communication
import Model
import Optimization
import Tensors
import Testing

@testable import Training

/// What a model's shape says of its parameters, against those that are made.
@Suite struct ParameterAccountTests {
  static let precisions: [[String]] = [
    ["precision.mode=float32"], ["precision.mode=bfloat16"], ["precision.mode=fp8"],
    ["precision={mode: fp8, fp8: {gemms: [wgrad], attention_output: bfloat16}}"],
    ["precision={mode: fp8, fp8: {gemms: [fprop], matrices: [routed_experts, mtp_projection]}}"],
    ["precision={mode: fp8, fp8: {bfloat16_first_layers: 1}}", "model.q_lora_rank=null"],
    [
      "model.moe_intermediate_size=136", "model.n_shared_experts=0", "model.num_nextn_predict_layers=2",
      "model.hidden_size=160", "precision.mode=fp8",
    ],
  ]

  /// Name by name would be too much: shape, experts, rounded copy and codes, one after the other.
  @Test(arguments: precisions)
  func shapesAreThoseOfTheModel(_ overrides: [String]) throws {
    let run = try RankRuns.configuration(overrides)
    let shape = try run.model.resolved(tokenizerVocabSize: nil)
    for share in [ExpertShare.all, ExpertShare(rank: 1, ranks: 4)] {
      let model = DeepSeek(
        shape, compute: run.precision.mode.dtype, float8: Float8Policy(run.precision), share: share,
        on: try Device(threads: 1))
      let segments = ParameterShape.segments(
        of: shape, float8: Float8Policy(run.precision), expertRanks: share.ranks)
      #expect(segments.map(\.count) == model.segments.map(\.count))
      for (expected, found) in zip(model.parameters, segments.joined()) {
        #expect(found.shape == expected.master.shape, "\(expected.name)")
        #expect(found.isOfExperts == expected.isOfExperts, "\(expected.name)")
        #expect(found.float8 == expected.float8 && found.period == expected.period, "\(expected.name)")
        #expect(
          found.hasRoundedCopy(run.precision.mode.dtype) == (expected.roundedCopy != nil), "\(expected.name)")
        let codes = expected.float8?.readsWeightCodes == true ? expected.codes.byteCount : 0
        #expect(found.codeBytes == codes, "\(expected.name)")
      }
      if share.ranks == 1 {
        #expect(segments.joined().reduce(0) { $0 + $1.count } == ParameterCount(shape).total)
      }
    }
  }

  /// Ranks of several layouts hold what the account says; owned moments but for the cache lines at which parts begin.
  @Test(arguments: [
    (ranks: 4, section: "{data: 4, expert: 2}"),
    (ranks: 4, section: "{pipeline: 2, schedule: dualpipe, data: 2, expert: 2}"),
    (ranks: 4, section: "{pipeline: 4, schedule: 1f1b, data: 1}"),
    (ranks: 2, section: "{pipeline: 2, schedule: dualpipev, data: 1}"),
  ])
  func ranksHoldWhatIsCounted(ranks: Int, section: String) throws {
    let run = try RankRuns.configuration([
      "parallel=\(section)", "model.num_hidden_layers=7", "training.global_batch_size=16",
      "precision.mode=bfloat16", "checkpoint.every=5",
    ])
    let held = try World.loopback(ranks: ranks) { world in
      let trainer = try Trainer(run, resume: .apart, world: world.communicator)
      let (parameters, optimizer) = (trainer.model.parameters, trainer.optimizer)
      let moments = optimizer.moments.reduce(0) { $0 + $1.tensor.byteCount }
      let weights = optimizer.weights.reduce(0) { $0 + $1.tensor.byteCount }
      let buffers = trainer.model.buffers.reduce(0) { $0 + $1.tensor.byteCount }
      return [
        parameters.reduce(0) { $0 + $1.master.byteCount },
        parameters.reduce(0) { $0 + ($1.roundedCopy?.byteCount ?? 0) },
        parameters.reduce(0) { $0 + $1.gradient.byteCount },
        moments, parameters.count, weights + buffers + moments,
      ]
    }
    let plan = try RunPlan(run, nodes: Array(repeating: 0, count: ranks))
    for (rank, found) in held.enumerated() {
      let account = plan.account.held(by: rank / plan.layout.data)
      let counted = [account.masters, account.copies, account.gradients]
      #expect(counted == Array(found.prefix(3)), "rank \(rank)")
      #expect(abs(account.moments - found[3]) <= found[4] * 2 * 2 * 64, "rank \(rank): \(account.moments)")
      #expect(
        abs(account.snapshot - found[5]) <= found[4] * 4 * 2 * 64, "rank \(rank): \(account.snapshot)")
      #expect(account.total == counted.reduce(account.moments + account.snapshot, +))
    }
  }
}
