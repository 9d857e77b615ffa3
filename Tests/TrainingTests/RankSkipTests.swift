import Communication
import Model
import Tensors
import Testing

@testable import Training

extension WholeRuns {
  /// Steps that are not finite, on several ranks of which one writes the records.
  struct RankSkipTests {
    @Test(arguments: ["{data: 2, expert: 2}", "{pipeline: 2, schedule: dualpipe}"])
    func ranksLookForTheCauseTogether(parallel: String) throws {
      let directory = try ReportingDirectory()
      let configuration = try RankRuns.configuration([
        "parallel=\(parallel)", "training.non_finite=skip", "training.non_finite_limit=5", "training.steps=2",
        "run.directory=\(directory.path)",
      ])
      let states = try World.loopback(ranks: 2) { world in
        let trainer = try Trainer(configuration, resume: .never, world: world.communicator)
        trainer.model.loadWeights { weights in
          let embedding = weights.first { $0.name == "model.embed_tokens.weight" }?.tensor
          embedding?.floats.update(repeating: .nan)
        }
        let recorder = world.communicator.rank == 0 ? try RunRecorder(trainer) : nil
        return try trainer.run(recorder, stop: StopSignal()).state
      }
      #expect(states.allSatisfy { $0.step == 2 && $0.skippedSteps == 2 })
    }
  }
}
