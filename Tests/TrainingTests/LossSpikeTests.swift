import Checkpoint
import Communication
import Data
import Foundation
import Model
import Testing

@testable import Training

extension WholeRuns {
  /// `training.loss_spike`: a text that is easy to learn, with rows of garbage in it.
  struct LossSpikeTests {
    private let runs: SmallRuns
    private let file = TemporaryFile()
    /// Two rows of 16 tokens a step.
    private static let (rows, length) = (160, 16)

    init() throws { runs = try SmallRuns() }

    /// A text in which a token follows from the one before, but for the samples of the given steps.
    private func settings(_ action: String, garbage steps: some Sequence<Int>, _ more: [String] = []) throws
      -> [String]
    {
      let order = SampleOrder(seed: 0, rows: Self.rows)
      let bad = Set(steps.flatMap { [2 * $0 - 2, 2 * $0 - 1] }.map(order.row))
      let noise = scrambledTokens(Self.rows * Self.length, below: 1024, from: 40, seed: 9)
      let tokens = (1...Self.rows * Self.length).map { place in
        bad.contains((place - 1) / Self.length) ? noise[place - 1] : 2 + Int32(place % 8)
      }
      var writer = try ShardWriter(path: file.path, vocabularySize: 1024, endOfText: 1)
      try writer.append(document: tokens, textBytes: tokens.count)
      _ = try writer.finish()
      return [
        "data={train: [\(file.path)]}", "training.steps=52", "checkpoint={every: 8, keep: null}",
        "learning_rate.phases=[{shape: constant, to: 5.0e-3}]",
        "training.loss_spike={action: \(action), window: 12, deviations: 4}",
      ] + more
    }

    private func rollBacks(_ name: String) throws -> [[Int?]] {
      let keys = ["step", "failed_step", "first_skipped_sample", "next_sample", "loss_spikes"]
      return try runs.records(name, kind: "roll_back").map { record in
        #expect(record["reason"] as? String == "loss_spike")
        #expect((record["loss_main"] as? Double ?? 0) > (record["loss_mean"] as? Double ?? .infinity))
        return keys.map { record[$0] as? Int }
      }
    }

    @Test func garbageIsPassedOver() throws {
      let settings = try settings("roll_back", garbage: [46])
      let state = try runs.run(runs.trainer("a", settings))
      #expect(state.step == 52 && state.skippedSteps == 0 && state.nextSample == 104 + 12)
      #expect(state.lossSpikes.total == 1 && state.lossSpikes.inARow == 0 && state.nonFinite == BadSteps())
      #expect(state.lossLevel.losses == 52)
      #expect(try rollBacks("a") == [[41, 46, 80, 92, 1]])
      let steps = try runs.records("a", kind: "step")
      #expect(steps.map { $0["step"] as? Int } == Array(1...52))
      #expect(steps.map { $0["loss_spikes"] as? Int } == (1...52).map { $0 <= 40 ? 0 : 1 })
      // The same by hand.
      try runs.run(runs.trainer("b", settings + ["training.steps=40"]))
      let tail = try runs.trainer("b", settings)
      tail.state.nextSample = 92
      try runs.run(tail)
      #expect(try runs.tensors("a", step: 52) == runs.tensors("b", step: 52))
    }

    /// Killed before the garbage, in the steps that are done again, or later; or stopped with a checkpoint.
    @Test(arguments: [(42, false), (43, false), (49, true), (50, false)])
    func resumingAfterItIsExact(step: Int, isSaved: Bool) throws {
      let settings = try settings("roll_back", garbage: [46])
      try runs.run(runs.trainer("whole", settings))
      try runs.run(
        runs.trainer(
          "parts", settings + ["training.steps=\(step)", "checkpoint.on_exit=\(isSaved)"]))
      let rest = try runs.trainer("parts", settings)
      #expect(rest.state.step == (isSaved ? step : step / 8 * 8))
      try runs.run(rest)
      #expect(try rollBacks("parts") == [[41, 46, 80, 92, 1]])
      try runs.expectSame("parts", "whole", step: 52)
    }

    @Test func tooManyInARowEndTheRun() throws {
      let settings = try settings("roll_back", garbage: 46...70, ["training.loss_spike.limit=2"])
      let error = #expect(throws: TrainingError.self) { try runs.run(runs.trainer("a", settings)) }
      guard case .lossSpike(let spike, tolerated: 2)? = error else {
        Issue.record("another error: \(String(describing: error))")
        return
      }
      #expect(spike.step == 41 && "\(error!)".contains("training.loss_spike.limit"), "\(error!)")
      #expect(try rollBacks("a") == [[41, 46, 80, 92, 1], [41, 41, 80, 94, 2]])
      #expect(runs.exists("a", step: 40) && !runs.exists("a", step: 48))
    }

    @Test func aSkippedSpikeChangesNoWeight() throws {
      let settings = try settings("skip", garbage: [46], ["checkpoint.every=1", "training.steps=47"])
      let state = try runs.run(runs.trainer("a", settings))
      #expect(state.step == 47 && state.skippedSteps == 1 && state.lossSpikes.total == 1)
      // What is skipped is no measure for what follows.
      #expect(state.nextSample == 94 && state.lossLevel.losses == 46)
      #expect(try runs.tensors("a", step: 46) == runs.tensors("a", step: 45))
      #expect(try runs.tensors("a", step: 47) != runs.tensors("a", step: 46))
      let steps = try runs.records("a", kind: "step")
      #expect(steps.map { $0["skipped"] as? Int } == (1...47).map { $0 == 46 ? 1 : nil })
    }

    /// `warn` changes no bit, `off` writes nothing about spikes.
    @Test func aWarningOnlyCounts() throws {
      let settings = try settings("warn", garbage: [46])
      let state = try runs.run(runs.trainer("a", settings))
      #expect(state.lossSpikes.total == 1 && state.lossSpikes.inARow == 0 && state.skippedSteps == 0)
      try runs.run(runs.trainer("b", settings + ["training.loss_spike={}"]))
      #expect(try runs.tensors("a", step: 52) == runs.tensors("b", step: 52))
      #expect(!(try runs.lines("b").joined().contains("spike")))
      let error = #expect(throws: TrainingError.self) {
        try runs.run(runs.trainer("c", settings + ["training.loss_spike.action=stop"]))
      }
      guard case .lossSpike(_, tolerated: 0)? = error else {
        Issue.record("another error: \(String(describing: error))")
        return
      }
    }

    /// Ranks that share the batch, or the layers, decide as one does.
    @Test(arguments: ["{data: 2, expert: 2}", "{pipeline: 2, schedule: 1f1b}"])
    func ranksDecideTogether(parallel: String) throws {
      let settings = try settings("roll_back", garbage: [46])
      let alone = try runs.run(runs.trainer("alone", settings))
      let configuration = try runs.configuration("ranks", settings + ["parallel=\(parallel)"])
      let states = try World.loopback(ranks: 2) { world in
        let trainer = try Trainer(configuration, resume: .never, world: world.communicator)
        let recorder = world.communicator.rank == 0 ? try RunRecorder(trainer) : nil
        return try trainer.run(recorder, stop: StopSignal()).state
      }
      #expect(states[0] == states[1])
      #expect(states[0].nextSample == alone.nextSample && states[0].lossSpikes == alone.lossSpikes)
      // Sums of another order round otherwise, and steps make more of it.
      #expect(abs(states[0].lossLevel.mean - alone.lossLevel.mean) < 1e-2 * alone.lossLevel.mean)
      #expect(try rollBacks("ranks") == rollBacks("alone"))
    }

    @Test func numbersThatCannotBeAreRefused() throws {
      let trainer = try runs.trainer("a")
      for (losses, variance) in [(-1, 1.0), (3, -1.0)] {
        (trainer.state.lossLevel.losses, trainer.state.lossLevel.variance) = (losses, variance)
        _ = try trainer.runCheckpoint.save(trainer.state, configuration: "", to: trainer.store)
        let error = #expect(throws: CheckpointError.self) { try runs.trainer("a") }
        #expect(error?.kind == .malformed && error?.message.contains("loss_spike.") == true)
      }
    }

    @Test func aSectionWithoutActionIsRefused() throws {
      let error = #expect(throws: ConfigurationError.self) {
        _ = try runs.configuration("a", ["training.loss_spike={window: 5}"])
      }
      #expect("\(error!)".contains("action"), "\(error!)")
    }

    @Test(arguments: ["warn", "stop"])
    func aLimitWithoutEffectIsRefused(action: String) throws {
      let error = #expect(throws: ConfigurationError.self) {
        _ = try runs.configuration("a", ["training.loss_spike={action: \(action), limit: 1}"])
      }
      #expect("\(error!)".contains("limit") && "\(error!)".contains("action: \(action)"), "\(error!)")
    }
  }
}
