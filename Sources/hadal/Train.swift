internal import ArgumentParser
internal import Communication
internal import Foundation
internal import Training

/// `hadal train CONFIG.yaml`: trains, and keeps the run's files.
struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model from one YAML file.",
    discussion: """
      The run directory (run.directory/run.name) receives config.yaml, metrics.jsonl, TensorBoard events and \
      checkpoints. Ctrl-C, SIGTERM and SIGUSR1 save a checkpoint and end with checkpoint.signal_exit_code, \
      which is 0; the same command goes on from there.
      """)

  @Argument(help: "The run's configuration.", completion: .file(extensions: ["yaml", "yml"]))
  var config: String

  @Option(name: .long, help: "Replace a value of the configuration; may be repeated.")
  var set: [String] = []

  @Option(
    name: .long,
    help: "auto: from the newest whole checkpoint; never: from the start; or a checkpoint's directory.")
  var resume = "auto"

  func run() throws {
    // First of all, so that no signal is lost. Nobody reading the progress is no reason to end a run.
    signal(SIGPIPE, SIG_IGN)
    let stop = StopSignal()
    let configuration = try RunConfiguration.load(path: config, overrides: set)
    let choice: ResumeChoice =
      switch resume {
      case "auto": .auto
      case "never": .never
      default: .path(resume)
      }
    var isStopped = false
    try onAllRanks(configuration) { ranks in
      let trainer = try Trainer(
        configuration, resume: choice, world: ranks, device: ProcessDevice.request())
      let recorder = ranks.rank == 0 ? try RunRecorder(trainer) : nil
      let summary = try trainer.run(recorder, stop: stop)
      recorder?.finish(summary)
      isStopped = summary.stoppedBy != nil
    }
    if isStopped, configuration.checkpoint.signalExitCode != 0 {
      throw ExitCode(Int32(configuration.checkpoint.signalExitCode))
    }
  }
}
